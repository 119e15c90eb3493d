package unixsock

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
)

// Causes of a bad address. Errors of this package match them with [errors.Is].
var (
	// ErrEmpty is an address without a path or name.
	ErrEmpty = errors.New("empty socket path or name")
	// ErrNUL is an address with a NUL byte, at which the kernel would cut a path.
	ErrNUL = errors.New("NUL byte in socket path or name")
	// ErrTooLong is an address that does not fit the kernel's socket address.
	// It is reported as a [TooLongError].
	ErrTooLong = errors.New("socket path or name over the kernel's limit")
)

// sunPath is the size of sockaddr_un's sun_path: 108 bytes on Linux and
// Windows, 104 on the BSDs and macOS.
const sunPath = len(syscall.RawSockaddrUnix{}.Path)

// MaxLen is the longest path in bytes (sun_path holds a NUL after it). An
// abstract name may have as many bytes, not counting the "@".
const MaxLen = sunPath - 1

// TooLongError says that an address does not fit the kernel's limit. It
// matches [ErrTooLong] and syscall.ENAMETOOLONG.
type TooLongError struct {
	Kind  string // "path" or "abstract name"
	Len   int    // in bytes
	Limit int    // the longest that would fit, in bytes
}

// Error names the limit, the length, and what to do.
func (e *TooLongError) Error() string {
	return fmt.Sprintf("socket %s has %d bytes, the kernel's limit is %d: choose a shorter one", e.Kind, e.Len, e.Limit)
}

// Is reports whether target is one of the two errors that a TooLongError stands for.
func (e *TooLongError) Is(target error) bool {
	return target == ErrTooLong || target == syscall.ENAMETOOLONG
}

// IsAbstract reports whether addr names a socket in the abstract namespace.
func IsAbstract(addr string) bool { return strings.HasPrefix(addr, "@") }

// Check reports what makes addr unusable as a unix socket address on this
// system, or nil. It looks at the text only, not at the file system.
func Check(addr string) error {
	name, abstract := strings.CutPrefix(addr, "@")
	kind := "path"
	if abstract {
		kind = "abstract name"
	}
	switch {
	case name == "":
		return ErrEmpty
	case strings.IndexByte(name, 0) >= 0:
		return ErrNUL
	case len(name) > MaxLen:
		return &TooLongError{Kind: kind, Len: len(name), Limit: MaxLen}
	case abstract && runtime.GOOS != "linux":
		return fmt.Errorf("abstract socket names exist only on Linux, not on %s: use a path (%w)", runtime.GOOS, errors.ErrUnsupported)
	}
	return nil
}
