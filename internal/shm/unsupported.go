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

type doorbell struct{}

func (s *Session) initDoorbell() error { return errPlatform }
func (s *Session) hangUp()             {}

// Ring wakes the peer's Wait or Await.
func (s *Session) Ring() {}

// Wait sleeps until the doorbell rings.
func (s *Session) Wait(func() bool) {}

// Kick makes a Wait under way return, and later ones return at once, until Unkick.
func (s *Session) Kick() {}

// Unkick makes Wait wait again.
func (s *Session) Unkick() {}

// Await waits on the doorbell for as long as the session lives.
func (s *Session) Await(func()) {}

// Sweep removes the System V segments that killed processes left behind.
func Sweep() int { return 0 }
