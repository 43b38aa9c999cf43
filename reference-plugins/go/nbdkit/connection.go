package nbdkit

/*
#include "glue.h"
*/
import "C"

import (
	"fmt"
	"runtime/cgo"
	"syscall"
	"unsafe"
)

// Callbacks of a connection.

func connection(handle C.uintptr_t) Connection {
	return cgo.Handle(handle).Value().(Connection)
}

//export goOpen
func goOpen(readonly C.int) (result C.uintptr_t) {
	defer guard(&result, 0)
	opened, err := registered.plugin.Open(readonly != 0)
	if err == nil && opened == nil {
		err = &PluginError{"Open returned no connection", syscall.EINVAL}
	}
	if err != nil {
		fail(err)
		return 0
	}
	return C.uintptr_t(cgo.NewHandle(opened))
}

//export goClose
func goClose(handle C.uintptr_t) {
	defer cgo.Handle(handle).Delete()
	if closer, has := connection(handle).(Closer); has {
		status(func() error { closer.Close(); return nil })
	}
}

//export goGetSize
func goGetSize(handle C.uintptr_t) (result C.int64_t) {
	defer guard(&result, failed)
	size, err := connection(handle).GetSize()
	if err == nil && size > 1<<63-1 {
		err = &PluginError{fmt.Sprintf("a size of %d is too large", size), syscall.EOVERFLOW}
	}
	if err != nil {
		fail(err)
		return failed
	}
	return C.int64_t(size)
}

//export goExportDescription
func goExportDescription(handle C.uintptr_t) (result *C.char) {
	defer guard(&result, nil)
	described, has := connection(handle).(Description)
	if !has {
		return nil
	}
	text, err := described.ExportDescription()
	if err != nil {
		fail(err)
		return nil
	}
	return intern(text)
}

//export goBlockSize
func goBlockSize(handle C.uintptr_t, minimum, preferred, maximum *C.uint32_t) C.int {
	return status(func() error {
		var size BlockSize
		var err error
		if sizer, has := connection(handle).(BlockSizer); has {
			size, err = sizer.BlockSize()
		}
		*minimum = C.uint32_t(size.Minimum)
		*preferred = C.uint32_t(size.Preferred)
		*maximum = C.uint32_t(size.Maximum)
		return err
	})
}

//export goCanWrite
func goCanWrite(handle C.uintptr_t) C.int {
	return answer(func() (bool, error) {
		c := connection(handle)
		if can, has := c.(CanWriter); has {
			return can.CanWrite()
		}
		_, has := c.(Writer)
		return has, nil
	})
}

func canFlush(c Connection) (bool, error) {
	if can, has := c.(CanFlusher); has {
		return can.CanFlush()
	}
	_, has := c.(Flusher)
	return has, nil
}

//export goCanFlush
func goCanFlush(handle C.uintptr_t) C.int {
	return answer(func() (bool, error) { return canFlush(connection(handle)) })
}

//export goCanTrim
func goCanTrim(handle C.uintptr_t) C.int {
	return answer(func() (bool, error) {
		c := connection(handle)
		if can, has := c.(CanTrimmer); has {
			return can.CanTrim()
		}
		_, has := c.(Trimmer)
		return has, nil
	})
}

//export goCanZero
func goCanZero(handle C.uintptr_t) C.int {
	return answer(func() (bool, error) {
		c := connection(handle)
		if can, has := c.(CanZeroer); has {
			return can.CanZero()
		}
		_, has := c.(Zeroer)
		return has, nil
	})
}

//export goCanFastZero
func goCanFastZero(handle C.uintptr_t) C.int {
	return answer(func() (bool, error) {
		if can, has := connection(handle).(CanFastZeroer); has {
			return can.CanFastZero()
		}
		return false, nil
	})
}

//export goCanExtents
func goCanExtents(handle C.uintptr_t) C.int {
	return answer(func() (bool, error) {
		c := connection(handle)
		if can, has := c.(CanExtenter); has {
			return can.CanExtents()
		}
		_, has := c.(Extenter)
		return has, nil
	})
}

//export goCanMultiConn
func goCanMultiConn(handle C.uintptr_t) C.int {
	return answer(func() (bool, error) {
		if can, has := connection(handle).(CanMultiConn); has {
			return can.CanMultiConn()
		}
		return false, nil
	})
}

//export goIsRotational
func goIsRotational(handle C.uintptr_t) C.int {
	return answer(func() (bool, error) {
		if is, has := connection(handle).(Rotational); has {
			return is.IsRotational()
		}
		return false, nil
	})
}

// FUA is emulated by .flush, so it is there only if that is: nbdkit would take
// the callback in its struct for one.
//
//export goCanFUA
func goCanFUA(handle C.uintptr_t) C.int {
	return choice(func() (FUA, error) {
		c := connection(handle)
		if can, has := c.(CanFUAer); has {
			return can.CanFUA()
		}
		flushes, err := canFlush(c)
		if err == nil && flushes {
			return FUAEmulate, nil
		}
		return FUANone, err
	})
}

//export goCanCache
func goCanCache(handle C.uintptr_t) C.int {
	return choice(func() (Cache, error) {
		c := connection(handle)
		if can, has := c.(CanCacheer); has {
			return can.CanCache()
		}
		if _, has := c.(Cacher); has {
			return CacheNative, nil
		}
		return CacheNone, nil
	})
}

// bytes is nbdkit's buffer as a slice; it is no memory of Go's, and stays where
// it is, but only for as long as the call lasts.
func bytes(buf unsafe.Pointer, count C.uint32_t) []byte {
	return unsafe.Slice((*byte)(buf), count)
}

// lacking is what a request fails with for which the connection has no method.
func lacking(method string) error {
	return &PluginError{"the connection has no method " + method, syscall.EINVAL}
}

//export goPRead
func goPRead(handle C.uintptr_t, buf unsafe.Pointer, count C.uint32_t, offset C.uint64_t,
	flags C.uint32_t) C.int {
	return status(func() error {
		return connection(handle).PRead(bytes(buf, count), uint64(offset), uint32(flags))
	})
}

//export goPWrite
func goPWrite(handle C.uintptr_t, buf unsafe.Pointer, count C.uint32_t, offset C.uint64_t,
	flags C.uint32_t) C.int {
	return status(func() error {
		if c, has := connection(handle).(Writer); has {
			return c.PWrite(bytes(buf, count), uint64(offset), uint32(flags))
		}
		return lacking("PWrite")
	})
}

//export goFlush
func goFlush(handle C.uintptr_t, flags C.uint32_t) C.int {
	return status(func() error {
		if c, has := connection(handle).(Flusher); has {
			return c.Flush(uint32(flags))
		}
		return lacking("Flush")
	})
}

//export goTrim
func goTrim(handle C.uintptr_t, count C.uint32_t, offset C.uint64_t, flags C.uint32_t) C.int {
	return status(func() error {
		if c, has := connection(handle).(Trimmer); has {
			return c.Trim(uint32(count), uint64(offset), uint32(flags))
		}
		return lacking("Trim")
	})
}

//export goZero
func goZero(handle C.uintptr_t, count C.uint32_t, offset C.uint64_t, flags C.uint32_t) C.int {
	return status(func() error {
		if c, has := connection(handle).(Zeroer); has {
			return c.Zero(uint32(count), uint64(offset), uint32(flags))
		}
		return lacking("Zero")
	})
}

//export goCache
func goCache(handle C.uintptr_t, count C.uint32_t, offset C.uint64_t, flags C.uint32_t) C.int {
	return status(func() error {
		if c, has := connection(handle).(Cacher); has {
			return c.Cache(uint32(count), uint64(offset), uint32(flags))
		}
		return lacking("Cache")
	})
}

//export goExtents
func goExtents(handle C.uintptr_t, count C.uint32_t, offset C.uint64_t, flags C.uint32_t,
	list *C.struct_nbdkit_extents) C.int {
	return status(func() error {
		c, has := connection(handle).(Extenter)
		if !has {
			return lacking("Extents")
		}
		extents := Extents{list}
		defer func() { extents.list = nil }() // kept, it adds to nothing
		return c.Extents(uint32(count), uint64(offset), uint32(flags), &extents)
	})
}
