package unixsock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// ErrNotSocket says that the path holds a file of another kind, which stays.
var ErrNotSocket = errors.New("a file that is not a socket is in the way")

// settle is how old a socket file must be before a refused connect proves that
// it is stale: a program that doesn't know our lock may be between its bind and
// its listen, which takes microseconds.
const settle = 100 * time.Millisecond

// clearStale makes way for a bind: it removes a stale socket file at path, and
// returns an error if anything else is there. The caller holds path's lock.
// addr is the same file as the caller wrote it, which may be shorter.
func clearStale(ctx context.Context, addr, path string) error {
	for waited := false; ; {
		fi, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if fi.Mode()&fs.ModeSocket == 0 {
			return fmt.Errorf("%w (%s): it is left alone, remove it or choose another path", ErrNotSocket, kindOf(fi.Mode()))
		}
		err = probe(ctx, addr)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		// Refused. The age is negative when the clock was set back; one bounded
		// wait is enough either way.
		if age := time.Since(fi.ModTime()); !waited && age < settle {
			waited = true
			if err := sleep(ctx, settle-max(age, 0)); err != nil {
				return err
			}
			continue
		}
		return remove(path, fi)
	}
}

// remove removes the stale socket file fi at path.
func remove(path string, fi os.FileInfo) error {
	now, err := os.Lstat(path)
	if err == nil && !os.SameFile(now, fi) {
		return fmt.Errorf("another process took the path just now: choose another path (%w)", syscall.EADDRINUSE)
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("stale socket file: remove it or choose another path: %w", err)
	}
	return nil
}

// probe connects to addr. It returns nil if the connect was refused, and
// otherwise an error that says what is there.
func probe(ctx context.Context, addr string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", addr)
	if err == nil {
		defer c.Close()
		return fmt.Errorf("%s is already listening there: stop it or choose another path (%w)", whoListens(c), syscall.EADDRINUSE)
	}
	err = cause(err)
	switch {
	case IsRefused(err):
		return nil
	case errors.Is(err, fs.ErrNotExist), ctx.Err() != nil:
		return err
	}
	return fmt.Errorf("a socket is there and it is not certain that it is stale, so it is left alone (connect: %v; %w)", err, syscall.EADDRINUSE)
}

// whoListens names the process behind c as well as the system tells it.
func whoListens(c net.Conn) string {
	if sc, ok := c.(syscall.Conn); ok {
		if cred, err := PeerCred(sc); err == nil && cred.PID > 0 {
			return fmt.Sprintf("process %d (uid %d)", cred.PID, cred.UID)
		}
	}
	return "another process"
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a regular file"
	case m.IsDir():
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	default:
		return "mode " + m.String()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// cause strips the net package's own wrapping: Listen adds one of its own.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

func opError(op, addr string, err error) error {
	return &net.OpError{Op: op, Net: "unix", Addr: &net.UnixAddr{Net: "unix", Name: addr}, Err: err}
}
