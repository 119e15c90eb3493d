package unixsock

import (
	"errors"

	"golang.org/x/sys/windows"
)

// IsRefused reports whether err is a refused connect: nobody listens there.
// syscall.ECONNREFUSED is an invention of Go's on Windows; the system's own
// number is another.
func IsRefused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }
