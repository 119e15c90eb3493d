//go:build !linux && !darwin

package unixsock

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// PeerCred reports that this system does not tell who is at the other end of a
// unix socket, with an error that wraps [errors.ErrUnsupported].
func PeerCred(syscall.Conn) (Cred, error) {
	return Cred{}, fmt.Errorf("peer credentials of a unix socket on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
