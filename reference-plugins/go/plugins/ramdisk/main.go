// A RAM disk for many threads: size=SIZE.
package main

import (
	"fmt"
	"syscall"

	"nbdcheck/nbdkit"
)

type plugin struct {
	size uint64
	disk *disk
}

func (p *plugin) Load() { *p = plugin{size: 1 << 20} }

func (p *plugin) Config(key, value string) error {
	if key != "size" {
		return &nbdkit.PluginError{Errmsg: fmt.Sprintf("unknown parameter '%s'", key), Errno: syscall.EINVAL}
	}
	size, err := nbdkit.ParseSize(value)
	p.size = size
	return err
}

func (p *plugin) GetReady() error {
	p.disk = newDisk()
	return nil
}

func (p *plugin) Unload() { p.disk = nil }

func (p *plugin) Open(readonly bool) (nbdkit.Connection, error) {
	return &connection{plugin: p}, nil
}

type connection struct{ *plugin }

func (c *connection) GetSize() (uint64, error) { return c.size, nil }

// All connections use one disk, and what one wrote another reads at once.
func (c *connection) CanMultiConn() (bool, error) { return true, nil }

// There is nothing that could be made more durable.
func (c *connection) CanFUA() (nbdkit.FUA, error) { return nbdkit.FUANative, nil }
func (c *connection) Flush(flags uint32) error    { return nil }

// Pages are dropped or cleared, which is quicker than to be sent zeroes.
func (c *connection) CanFastZero() (bool, error) { return true, nil }

func (c *connection) PRead(buf []byte, offset uint64, flags uint32) error {
	c.disk.read(buf, offset)
	return nil
}

func (c *connection) PWrite(buf []byte, offset uint64, flags uint32) error {
	c.disk.write(buf, offset)
	return nil
}

func (c *connection) Zero(count uint32, offset uint64, flags uint32) error {
	c.disk.zero(uint64(count), offset, flags&nbdkit.FlagMayTrim != 0)
	return nil
}

func (c *connection) Trim(count uint32, offset uint64, flags uint32) error {
	c.disk.zero(uint64(count), offset, true)
	return nil
}

func (c *connection) Extents(count uint32, offset uint64, flags uint32,
	extents *nbdkit.Extents) error {
	for end := offset + uint64(count); offset < end; {
		length, stored := c.disk.run(offset, end)
		kind := nbdkit.ExtentHole | nbdkit.ExtentZero
		if stored {
			kind = nbdkit.ExtentData
		}
		if err := extents.Add(offset, length, kind); err != nil {
			return err
		}
		offset += length
	}
	return nil
}

func init() {
	nbdkit.Register("go-ramdisk", &plugin{}, nbdkit.Options{
		Version:        "0.1.0",
		Description:    "a RAM disk",
		ConfigHelp:     "size=<SIZE>  how large it is (default 1M)",
		MagicConfigKey: "size",
	})
}

func main() {}
