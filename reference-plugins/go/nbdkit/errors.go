package nbdkit

/*
#include "glue.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"syscall"
	"unsafe"
)

// PluginError is an error with the errno that the client is to see.  Errors that wrap a
// syscall.Errno, as those of package os do, need none; all others are EIO.
type PluginError struct {
	Errmsg string
	Errno  syscall.Errno
}

func (e *PluginError) Error() string { return e.Errmsg }

// Unwrap lets errors.As find the errno.
func (e *PluginError) Unwrap() error { return e.Errno }

// An error of which nbdkit has told the user already.
type reported struct{ error }

func (r reported) Unwrap() error { return r.error }

// ErrDeclined is what Zero returns when nbdkit is to write zeroes instead, and
// when it cannot be fast where FlagFastZero asks for that.  Not worth a message.
var ErrDeclined error = reported{syscall.EOPNOTSUPP}

// Returned to nbdkit by what is to fail.
const failed = -1

func logError(message string) {
	text := C.CString(strings.TrimRight(message, "\n"))
	defer C.free(unsafe.Pointer(text))
	C.glue_error(text)
}

// Debug prints a line with nbdkit -v.
func Debug(format string, args ...any) {
	text := C.CString(fmt.Sprintf(format, args...))
	defer C.free(unsafe.Pointer(text))
	C.glue_debug(text)
}

// fail tells nbdkit of an error, on the thread that nbdkit called.
func fail(err error) {
	var told reported
	if !errors.As(err, &told) {
		logError(err.Error())
	}
	errno := syscall.EIO
	var found syscall.Errno
	if errors.As(err, &found) && found > 0 {
		errno = found
	}
	C.nbdkit_set_error(C.int(errno))
}

// guard turns a panic into an error: unwinding must not reach C.  To be deferred,
// with the callback's result.
func guard[T any](result *T, failure T) {
	if reason := recover(); reason != nil {
		fail(fmt.Errorf("panic: %v", reason))
		Debug("%s", debug.Stack())
		*result = failure
	}
}

// status runs f and returns what a callback without other results returns.
func status(f func() error) (result C.int) {
	defer guard(&result, failed)
	if err := f(); err != nil {
		fail(err)
		return failed
	}
	return 0
}

// answer is the same for a yes or no.
func answer(f func() (bool, error)) (result C.int) {
	defer guard(&result, failed)
	yes, err := f()
	if err != nil {
		fail(err)
		return failed
	}
	if yes {
		return 1
	}
	return 0
}

// choice is the same for a number.
func choice[T ~int](f func() (T, error)) (result C.int) {
	defer guard(&result, failed)
	value, err := f()
	if err != nil {
		fail(err)
		return failed
	}
	return C.int(value)
}
