// A plugin that tells nbdkit --dump-plugin about itself, and serves what it told:
// a disk of text.
package main

import (
	"runtime"
	"strconv"
	"strings"

	"nbdcheck/nbdkit"
)

var fields = [][2]string{
	{"go_version", runtime.Version()},
	{"go_arch", runtime.GOARCH},
	{"go_os", runtime.GOOS},
	{"go_pointer_bits", strconv.Itoa(strconv.IntSize)},
}

type plugin struct{}

func (plugin) DumpPlugin() {
	for _, field := range fields {
		nbdkit.DumpField(field[0], field[1])
	}
}

// A string that never changes needs no lock; the model could as well be narrower.
func (plugin) ThreadModel() (nbdkit.ThreadModel, error) { return nbdkit.SerializeRequests, nil }

func (plugin) Open(readonly bool) (nbdkit.Connection, error) {
	var text strings.Builder
	for _, field := range fields {
		text.WriteString(field[0] + "=" + field[1] + "\n")
	}
	return connection(text.String()), nil
}

type connection string

func (c connection) GetSize() (uint64, error) { return uint64(len(c)), nil }

func (c connection) PRead(buf []byte, offset uint64, flags uint32) error {
	copy(buf, c[offset:])
	return nil
}

func init() { nbdkit.Register("go-dump", plugin{}, nbdkit.Options{Version: "0.1.0"}) }

func main() {}
