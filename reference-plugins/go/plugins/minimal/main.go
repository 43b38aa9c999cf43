// The least that makes a plugin: 1 MiB of zeroes, read-only.
package main

import "nbdcheck/nbdkit"

type plugin struct{}

type connection struct{}

func (plugin) Open(readonly bool) (nbdkit.Connection, error) { return connection{}, nil }

func (connection) GetSize() (uint64, error) { return 1 << 20, nil }

func (connection) PRead(buf []byte, offset uint64, flags uint32) error {
	for i := range buf {
		buf[i] = 0
	}
	return nil
}

func init() { nbdkit.Register("go-minimal", plugin{}, nbdkit.Options{Version: "0.1.0"}) }

func main() {}
