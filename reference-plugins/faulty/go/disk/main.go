// What goes wrong in plugins in Go, one fault each: fault=NAME.
//
//	map       goroutines share a map without a lock
//	slice     a slice of nbdkit's buffer is kept after the call
//	panic     a goroutine of the plugin's own panics: nobody can recover it
//	locked    a method panics with a lock held; the panic becomes an error
//	fua       FUA is announced, to be done by Flush, and there is no Flush
//	hidden    a pointer is kept as a number, where the collector does not see it
//	thread    what a thread wrote is kept for that thread
package main

import (
	"fmt"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"nbdcheck/nbdkit"
)

const blockSize = 4096

type plugin struct {
	size  uint64
	fault string

	mutex  sync.Mutex
	blocks map[uint64]*[blockSize]byte
	hidden map[uint64]uintptr        // fault=hidden: addresses of blocks
	asked  map[uint64]int            // fault=map
	kept   map[uint64][]byte         // fault=slice
	mine   map[int]map[uint64][]byte // fault=thread
	work   chan func()               // fault=panic
}

func (p *plugin) Load() {
	*p = plugin{size: 1 << 20, fault: "none"}
	p.blocks = make(map[uint64]*[blockSize]byte)
	p.hidden = make(map[uint64]uintptr)
	p.asked = make(map[uint64]int)
	p.kept = make(map[uint64][]byte)
	p.mine = make(map[int]map[uint64][]byte)
}

func (p *plugin) Config(key, value string) (err error) {
	switch key {
	case "fault":
		for _, known := range []string{"none", "map", "slice", "panic", "locked", "fua", "hidden", "thread"} {
			if value == known {
				p.fault = value
				return nil
			}
		}
		return &nbdkit.PluginError{Errmsg: fmt.Sprintf("no such fault: '%s'", value), Errno: syscall.EINVAL}
	case "size":
		p.size, err = nbdkit.ParseSize(value)
		return err
	}
	return &nbdkit.PluginError{Errmsg: fmt.Sprintf("unknown parameter '%s'", key), Errno: syscall.EINVAL}
}

func (p *plugin) startWorker() {
	work := make(chan func())
	p.work = work
	go func() {
		for task := range work {
			task()
		}
	}()
}

func (p *plugin) AfterFork() error {
	p.startWorker()
	return nil
}

func (p *plugin) Cleanup() { close(p.work) }

func (p *plugin) Open(readonly bool) (nbdkit.Connection, error) {
	if p.fault == "fua" {
		return &withFUA{connection{p}}, nil
	}
	return &withFlush{connection{p}}, nil
}

type connection struct{ *plugin }

func (c *connection) GetSize() (uint64, error)    { return c.size, nil }
func (c *connection) CanMultiConn() (bool, error) { return true, nil }

type withFlush struct{ connection }

func (c *withFlush) Flush(flags uint32) error { return nil }

type withFUA struct{ connection }

func (c *withFUA) CanFUA() (nbdkit.FUA, error) { return nbdkit.FUAEmulate, nil }

// each calls f for the parts of a request that lie in one block.
func each(buf []byte, offset uint64, f func(block, begin uint64, part []byte)) {
	for len(buf) > 0 {
		begin := offset % blockSize
		length := uint64(len(buf))
		if length > blockSize-begin {
			length = blockSize - begin
		}
		f(offset/blockSize, begin, buf[:length])
		buf, offset = buf[length:], offset+length
	}
}

func (p *plugin) block(number uint64) *[blockSize]byte {
	if p.fault == "hidden" {
		if p.hidden[number] == 0 {
			p.hidden[number] = uintptr(unsafe.Pointer(new([blockSize]byte)))
		}
		address := p.hidden[number]
		return *(**[blockSize]byte)(unsafe.Pointer(&address))
	}
	if p.blocks[number] == nil {
		p.blocks[number] = new([blockSize]byte)
	}
	return p.blocks[number]
}

func (c *connection) PRead(buf []byte, offset uint64, flags uint32) error {
	c.count(offset)
	if c.fault == "panic" && len(buf) >= 1<<16 {
		c.work <- func() {
			blocks := make([]byte, c.size/blockSize)
			blocks[len(buf)+len(blocks)]++
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.fill(buf, offset)
	return nil
}

func (c *connection) fill(buf []byte, offset uint64) {
	c.mutex.Lock()
	if c.fault == "locked" && offset/blockSize == 100 {
		var nothing *plugin
		nothing.size++ // panics; what is deferred would have given the lock back
	}
	defer c.mutex.Unlock()
	each(buf, offset, func(block, begin uint64, part []byte) {
		copy(part, c.block(block)[begin:])
	})
	if c.fault == "slice" {
		if kept := c.kept[offset]; len(kept) == len(buf) {
			copy(buf, kept)
		}
	}
	if c.fault == "thread" {
		if own := c.mine[syscall.Gettid()][offset]; len(own) == len(buf) {
			copy(buf, own)
		}
	}
}

func (c *connection) PWrite(buf []byte, offset uint64, flags uint32) error {
	c.count(offset)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.fault == "thread" {
		own := c.mine[syscall.Gettid()]
		if own == nil {
			own = make(map[uint64][]byte)
			c.mine[syscall.Gettid()] = own
		}
		own[offset] = append([]byte(nil), buf...)
	}
	each(buf, offset, func(block, begin uint64, part []byte) {
		copy(c.block(block)[begin:], part)
	})
	if c.fault == "slice" {
		c.kept[offset] = buf
	}
	return nil
}

// count keeps statistics of what is asked for together, and of the recent past
// only.  They are not the disk, so nobody thought of a lock.
func (c *connection) count(offset uint64) {
	if c.fault != "map" {
		return
	}
	for i := uint64(0); i < 128; i++ {
		c.asked[offset/512+i]++
	}
	if len(c.asked) > 2048 {
		for place := range c.asked {
			delete(c.asked, place)
		}
	}
}

func init() {
	nbdkit.Register("faulty-go", &plugin{}, nbdkit.Options{
		Version:    "0.1.0",
		ConfigHelp: "fault=<NAME>  what is wrong (default none)\nsize=<SIZE>  (default 1M)",
	})
}

func main() {}
