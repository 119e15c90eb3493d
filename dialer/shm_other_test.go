//go:build !linux

package dialer_test

import (
	"errors"
	"testing"

	"github.com/carp-rpc/carp-go/dialer"
)

func TestShmIsUnsupported(t *testing.T) {
	if _, err := dialer.Listen(t.Context(), "shm:///tmp/x"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Listen = %v, want ErrUnsupported", err)
	}
	if _, err := dialer.Dial(t.Context(), "shm:///tmp/x"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Dial = %v, want ErrUnsupported", err)
	}
}
