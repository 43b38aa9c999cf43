// A RAM disk without locks: size=SIZE.  Goroutines own parts of the disk, and
// requests are sent to them over channels.
package main

import (
	"fmt"
	"sync"
	"syscall"

	"nbdcheck/nbdkit"
)

const (
	owners   = 8
	partSize = 64 << 10 // neighbouring parts have different owners
)

// A piece of a request within one part.  data is nbdkit's buffer: the owner uses
// it only while the callback waits for done.
type piece struct {
	write bool
	data  []byte
	part  uint64
	begin uint64
	done  *sync.WaitGroup
}

type plugin struct {
	size    uint64
	inboxes []chan piece
	running sync.WaitGroup
}

func (p *plugin) Load() { p.size = 1 << 20 }

func (p *plugin) Config(key, value string) (err error) {
	if key != "size" {
		return &nbdkit.PluginError{Errmsg: fmt.Sprintf("unknown parameter '%s'", key), Errno: syscall.EINVAL}
	}
	p.size, err = nbdkit.ParseSize(value)
	return err
}

// Not before: a goroutine of the process that forked is not in the server.
func (p *plugin) AfterFork() error {
	p.inboxes = make([]chan piece, owners)
	for i := range p.inboxes {
		p.inboxes[i] = make(chan piece, 16)
		p.running.Add(1)
		go p.own(p.inboxes[i])
	}
	return nil
}

func (p *plugin) Cleanup() {
	for _, inbox := range p.inboxes {
		close(inbox)
	}
	p.running.Wait()
	p.inboxes = nil
}

// own serves the pieces of its parts, one after the other.
func (p *plugin) own(inbox <-chan piece) {
	defer p.running.Done()
	parts := make(map[uint64]*[partSize]byte)
	for request := range inbox {
		part := parts[request.part]
		if part == nil && request.write {
			part = new([partSize]byte)
			parts[request.part] = part
		}
		switch {
		case request.write:
			copy(part[request.begin:], request.data)
		case part != nil:
			copy(request.data, part[request.begin:])
		default: // nobody wrote there
			for i := range request.data {
				request.data[i] = 0
			}
		}
		request.done.Done()
	}
}

// serve sends the pieces of a request to their owners and waits for all of them.
func (p *plugin) serve(write bool, buf []byte, offset uint64) {
	var done sync.WaitGroup
	for len(buf) > 0 {
		part, begin := offset/partSize, offset%partSize
		length := uint64(len(buf))
		if length > partSize-begin {
			length = partSize - begin
		}
		done.Add(1)
		p.inboxes[part%owners] <- piece{write, buf[:length], part, begin, &done}
		buf, offset = buf[length:], offset+length
	}
	done.Wait()
}

func (p *plugin) Open(readonly bool) (nbdkit.Connection, error) { return &connection{p}, nil }

type connection struct{ plugin *plugin }

func (c *connection) GetSize() (uint64, error)    { return c.plugin.size, nil }
func (c *connection) CanMultiConn() (bool, error) { return true, nil }
func (c *connection) Flush(flags uint32) error    { return nil }

func (c *connection) PRead(buf []byte, offset uint64, flags uint32) error {
	c.plugin.serve(false, buf, offset)
	return nil
}

func (c *connection) PWrite(buf []byte, offset uint64, flags uint32) error {
	c.plugin.serve(true, buf, offset)
	return nil
}

func init() {
	nbdkit.Register("go-channels", &plugin{}, nbdkit.Options{
		Version:     "0.1.0",
		Description: "a RAM disk in goroutines",
		ConfigHelp:  "size=<SIZE>  how large it is (default 1M)",
	})
}

func main() {}
