package unixsock

import (
	"errors"

	"golang.org/x/sys/windows"
)

// syscall.ECONNREFUSED is an invention of Go's on Windows; the system's own
// number is another.
func isRefused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }
