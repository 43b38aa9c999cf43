package nbdkit

/*
#include "glue.h"
*/
import "C"

import (
	"fmt"
	"syscall"
	"unsafe"
)

// Extents is the map that Extenter.Extents fills.  Valid until that returns.
type Extents struct{ list *C.struct_nbdkit_extents }

// Types of an extent.
const (
	ExtentData uint32 = 0
	ExtentHole uint32 = 1
	ExtentZero uint32 = 2
)

// Add appends an extent; the first one holds the offset of the request, and each
// of the others begins where the one before it ended.
func (e *Extents) Add(offset, length uint64, kind uint32) error {
	if e.list == nil {
		return &PluginError{"an extent was added after the call", syscall.EINVAL}
	}
	result, err := C.nbdkit_add_extent(e.list, C.uint64_t(offset), C.uint64_t(length),
		C.uint32_t(kind))
	if result != 0 {
		return reported{err}
	}
	return nil
}

// ParseSize reads what users write for a size: 512, 10M, 1G.
func ParseSize(text string) (uint64, error) {
	copied := C.CString(text)
	defer C.free(unsafe.Pointer(copied))
	size := C.nbdkit_parse_size(copied)
	if size == failed {
		return 0, reported{fmt.Errorf("%q is no size: %w", text, syscall.EINVAL)}
	}
	return uint64(size), nil
}

// ParseBool reads 1, true, t, yes, y, on and their opposites.
func ParseBool(text string) (bool, error) {
	copied := C.CString(text)
	defer C.free(unsafe.Pointer(copied))
	value := C.nbdkit_parse_bool(copied)
	if value == failed {
		return false, reported{fmt.Errorf("%q is neither true nor false: %w", text, syscall.EINVAL)}
	}
	return value != 0, nil
}

// AbsolutePath makes a file's name independent of the working directory, which
// is another one in the background.
func AbsolutePath(path string) (string, error) {
	copied := C.CString(path)
	defer C.free(unsafe.Pointer(copied))
	absolute := C.nbdkit_absolute_path(copied)
	if absolute == nil {
		return "", reported{fmt.Errorf("%q is no path: %w", path, syscall.EINVAL)}
	}
	defer C.free(unsafe.Pointer(absolute))
	return C.GoString(absolute), nil
}

// ExportName is the name that the client asked for; for methods of a connection
// and for Plugin.Open.
func ExportName() (string, error) {
	name := C.nbdkit_export_name()
	if name == nil {
		return "", reported{fmt.Errorf("there is no export name here: %w", syscall.EINVAL)}
	}
	return C.GoString(name), nil
}

// IsTLS tells whether the client's connection is encrypted; as ExportName.
func IsTLS() (bool, error) {
	result := C.nbdkit_is_tls()
	if result == failed {
		return false, reported{fmt.Errorf("there is no connection here: %w", syscall.EINVAL)}
	}
	return result != 0, nil
}

// Shutdown asks the server to end; it goes on for a while.
func Shutdown() { C.nbdkit_shutdown() }

// DumpField prints a field, for DumpPlugin.  It goes the way that nbdkit's own
// fields go; what fmt.Println prints would come before them.
func DumpField(key, value string) {
	k, v := C.CString(key), C.CString(value)
	defer C.free(unsafe.Pointer(k))
	defer C.free(unsafe.Pointer(v))
	C.glue_field(k, v)
}
