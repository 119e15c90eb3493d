//go:build !linux

package shm

import (
	"errors"
	"fmt"
	"net"
	"runtime"
)

var errPlatform = fmt.Errorf("shared memory needs memfd and SO_PEERCRED of Linux; this is %s: %w",
	runtime.GOOS, errors.ErrUnsupported)

// Supported tells whether shared memory works on this platform: nil, or an error
// that wraps [errors.ErrUnsupported].
func Supported() error { return errPlatform }

// Connect is the dialler's side of the handshake.
func Connect(*net.UnixConn, *Options) (*Session, error) { return nil, errPlatform }

// Accept is the listener's side of the handshake.
func Accept(*net.UnixConn, *Options) (*Session, error) { return nil, errPlatform }

// Ring wakes the peer's Await.
func (s *Session) Ring() {}
