//go:build !linux

package shmconn

import (
	"os"
	"syscall"

	"github.com/carp-rpc/carp-go/internal/shm"
)

func copyOf(syscall.Conn) (*os.File, error) { return nil, shm.Supported() }

func checkListening(syscall.Conn) error { return shm.Supported() }

// InheritedFiles are the sockets that systemd passed to this process, or another one that
// it takes over from. There are none on this platform.
func InheritedFiles() ([]*os.File, error) { return nil, nil }
