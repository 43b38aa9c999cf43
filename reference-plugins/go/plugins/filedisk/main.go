// Serves a file: file=PATH.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"nbdcheck/nbdkit"
)

type plugin struct{ path string }

func (p *plugin) Config(key, value string) (err error) {
	if key != "file" {
		return &nbdkit.PluginError{Errmsg: fmt.Sprintf("unknown parameter '%s'", key), Errno: syscall.EINVAL}
	}
	// nbdkit goes to another directory before it serves in the background.
	p.path, err = nbdkit.AbsolutePath(value)
	return err
}

func (p *plugin) ConfigComplete() error {
	if p.path == "" {
		return errors.New("file=PATH is needed")
	}
	return nil
}

func (p *plugin) Unload() { p.path = "" }

func (p *plugin) Open(readonly bool) (nbdkit.Connection, error) {
	mode := os.O_RDWR
	if readonly {
		mode = os.O_RDONLY
	}
	file, err := os.OpenFile(p.path, mode, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &nbdkit.PluginError{Errmsg: p.path + " is no file", Errno: syscall.EINVAL}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &connection{file, uint64(info.Size())}, nil
}

type connection struct {
	file *os.File
	size uint64
}

func (c *connection) Close()                   { c.file.Close() }
func (c *connection) GetSize() (uint64, error) { return c.size, nil }

// The kernel keeps what all connections see.
func (c *connection) CanMultiConn() (bool, error) { return true, nil }
func (c *connection) CanFUA() (nbdkit.FUA, error) { return nbdkit.FUANative, nil }
func (c *connection) CanFastZero() (bool, error)  { return true, nil }

func (c *connection) PRead(buf []byte, offset uint64, flags uint32) error {
	_, err := c.file.ReadAt(buf, int64(offset))
	if errors.Is(err, io.EOF) {
		return &nbdkit.PluginError{Errmsg: "the file has become shorter", Errno: syscall.EIO}
	}
	return err
}

func (c *connection) PWrite(buf []byte, offset uint64, flags uint32) error {
	_, err := c.file.WriteAt(buf, int64(offset))
	return c.durable(err, flags)
}

func (c *connection) Flush(flags uint32) error { return c.file.Sync() }

func (c *connection) durable(err error, flags uint32) error {
	if err == nil && flags&nbdkit.FlagFUA != 0 {
		return c.file.Sync()
	}
	return err
}

// From fallocate(2).
const (
	keepSize  = 1
	punchHole = 2
	zeroRange = 16
)

func (c *connection) fallocate(mode uint32, count uint32, offset uint64) (err error) {
	for {
		err = syscall.Fallocate(int(c.file.Fd()), mode, int64(offset), int64(count))
		if err != syscall.EINTR { // the runtime interrupts threads to share them
			return err
		}
	}
}

func (c *connection) Zero(count uint32, offset uint64, flags uint32) error {
	mode := uint32(zeroRange | keepSize)
	if flags&nbdkit.FlagMayTrim != 0 {
		mode = punchHole | keepSize
	}
	err := c.fallocate(mode, count, offset)
	if err == syscall.EOPNOTSUPP {
		return nbdkit.ErrDeclined // nbdkit writes zeroes
	}
	return c.durable(err, flags)
}

func (c *connection) Trim(count uint32, offset uint64, flags uint32) error {
	err := c.fallocate(punchHole|keepSize, count, offset)
	if err == syscall.EOPNOTSUPP {
		err = nil // a hint
	}
	return c.durable(err, flags)
}

// From lseek(2).
const (
	seekData = 3
	seekHole = 4
)

func (c *connection) Extents(count uint32, offset uint64, flags uint32,
	extents *nbdkit.Extents) error {
	end := offset + uint64(count)
	for offset < end {
		data, err := c.file.Seek(int64(offset), seekData)
		if errors.Is(err, syscall.ENXIO) {
			data, err = int64(end), nil // a hole up to the end of the file
		}
		if err != nil {
			return err
		}
		next, kind := uint64(data), nbdkit.ExtentHole|nbdkit.ExtentZero
		if next <= offset {
			hole, err := c.file.Seek(int64(offset), seekHole)
			if err != nil {
				return err
			}
			next, kind = uint64(hole), nbdkit.ExtentData
			if next <= offset {
				next = end // another client has made a hole of it meanwhile
			}
		}
		if next > end {
			next = end
		}
		if err := extents.Add(offset, next-offset, kind); err != nil {
			return err
		}
		offset = next
	}
	return nil
}

func init() {
	nbdkit.Register("go-filedisk", &plugin{}, nbdkit.Options{
		Version:        "0.1.0",
		Description:    "serves a file",
		ConfigHelp:     "file=<PATH>  (required) the file",
		MagicConfigKey: "file",
	})
}

func main() {}
