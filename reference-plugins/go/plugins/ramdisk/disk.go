package main

import "sync"

const (
	pageSize = 32 << 10
	stripes  = 64
)

// A disk in pages that are stored once they are written.  Pages are spread over
// stripes, each with a map and a lock of its own: a map is not for goroutines to
// share without one.  No request holds two locks at once.
type disk struct{ stripes [stripes]stripe }

type stripe struct {
	mutex sync.RWMutex
	pages map[uint64]*[pageSize]byte
}

func newDisk() *disk {
	d := &disk{}
	for i := range d.stripes {
		d.stripes[i].pages = make(map[uint64]*[pageSize]byte)
	}
	return d
}

func (d *disk) of(page uint64) *stripe { return &d.stripes[page%stripes] }

// piece is the part of a request at offset that lies in one page.
func piece(offset, count uint64) (page, begin, length uint64) {
	page, begin = offset/pageSize, offset%pageSize
	length = pageSize - begin
	if length > count {
		length = count
	}
	return
}

func (d *disk) read(buf []byte, offset uint64) {
	for len(buf) > 0 {
		page, begin, length := piece(offset, uint64(len(buf)))
		s := d.of(page)
		s.mutex.RLock()
		if stored := s.pages[page]; stored != nil {
			copy(buf[:length], stored[begin:])
		} else {
			clear(buf[:length])
		}
		s.mutex.RUnlock()
		buf, offset = buf[length:], offset+length
	}
}

func (d *disk) write(buf []byte, offset uint64) {
	for len(buf) > 0 {
		page, begin, length := piece(offset, uint64(len(buf)))
		s := d.of(page)
		s.mutex.Lock()
		stored := s.pages[page]
		if stored == nil {
			stored = new([pageSize]byte)
			s.pages[page] = stored
		}
		copy(stored[begin:], buf[:length])
		s.mutex.Unlock()
		buf, offset = buf[length:], offset+length
	}
}

// zero drops whole pages if it may leave holes, and clears the rest.
func (d *disk) zero(count, offset uint64, holes bool) {
	for count > 0 {
		page, begin, length := piece(offset, count)
		s := d.of(page)
		s.mutex.Lock()
		stored := s.pages[page]
		switch {
		case holes && length == pageSize:
			delete(s.pages, page)
		case stored != nil:
			clear(stored[begin : begin+length])
		case !holes:
			s.pages[page] = new([pageSize]byte)
		}
		s.mutex.Unlock()
		count, offset = count-length, offset+length
	}
}

// run is how much from offset on, up to end, is all stored or all not.
func (d *disk) run(offset, end uint64) (length uint64, stored bool) {
	for at := offset; at < end; {
		page, _, piece := piece(at, end-at)
		s := d.of(page)
		s.mutex.RLock()
		_, here := s.pages[page]
		s.mutex.RUnlock()
		if at != offset && here != stored {
			break
		}
		stored = here
		at += piece
		length = at - offset
	}
	return
}

func clear(bytes []byte) {
	for i := range bytes {
		bytes[i] = 0
	}
}
