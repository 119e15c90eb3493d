//go:build !windows

package unixsock

import (
	"errors"
	"syscall"
)

// IsRefused reports whether err is a refused connect: nobody listens there.
func IsRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
