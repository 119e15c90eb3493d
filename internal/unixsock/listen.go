package unixsock

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// A Listener is a unix stream listener that removes its own socket file at
// Close, and no file that took its place since.
type Listener struct {
	*net.UnixListener

	// path is absolute, so that Close finds the file after a chdir. Empty in
	// the abstract namespace, where there is no file.
	path   string
	bound  os.FileInfo
	unlink sync.Once
}

// Listen listens on addr after clearing a stale socket file (see the package
// documentation). Errors are of type [*net.OpError] and name the address.
// ctx bounds the wait for the lock and for a file to count as stale; once
// Listen returned it has no effect.
func Listen(ctx context.Context, addr string) (*Listener, error) {
	ln, err := listen(ctx, addr)
	if err != nil {
		return nil, opError("listen", addr, err)
	}
	return ln, nil
}

func listen(ctx context.Context, addr string) (*Listener, error) {
	if err := Check(addr); err != nil {
		return nil, err
	}
	if IsAbstract(addr) {
		ln, err := bind(ctx, addr)
		if err != nil {
			return nil, err
		}
		return &Listener{UnixListener: ln}, nil
	}
	path, err := filepath.Abs(addr)
	if err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := clearStale(ctx, addr, path); err != nil {
		return nil, err
	}
	ln, err := bind(ctx, addr)
	if err != nil {
		return nil, err
	}
	bound, err := os.Lstat(path)
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	return &Listener{UnixListener: ln, path: path, bound: bound}, nil
}

// FromFile makes a listener of a listening socket that another process opened, such as
// the one that this process takes over from. It has a copy of f's descriptor. Close
// leaves the socket file alone; see [Listener.SetUnlinkOnClose].
func FromFile(f *os.File) (*Listener, error) {
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, opError("listen", f.Name(), cause(err))
	}
	unix, ok := ln.(*net.UnixListener)
	if !ok {
		_ = ln.Close()
		return nil, opError("listen", f.Name(), fmt.Errorf("a socket of network %s: want a unix socket", ln.Addr().Network()))
	}
	unix.SetUnlinkOnClose(false)
	return &Listener{UnixListener: unix}, nil
}

// SetUnlinkOnClose says whether Close removes the socket file, as it does by
// default unless the listener was made of a file. It must not be called together
// with Close.
func (l *Listener) SetUnlinkOnClose(unlink bool) {
	l.path = ""
	addr := l.Addr().String()
	if !unlink || IsAbstract(addr) {
		return
	}
	path, err := filepath.Abs(addr)
	if err != nil {
		return
	}
	if bound, err := os.Lstat(path); err == nil {
		l.path, l.bound = path, bound
	}
}

func bind(ctx context.Context, addr string) (*net.UnixListener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", addr)
	if err != nil {
		return nil, cause(err)
	}
	return ln.(*net.UnixListener), nil
}

// Close stops listening and removes the socket file, if it still is the one
// this listener made. A blocked Accept returns net.ErrClosed.
func (l *Listener) Close() error {
	// The file goes first: while it exists somebody listens, so that no other
	// process ever sees a refused connect from a listener that ends cleanly.
	l.unlink.Do(func() {
		if l.path == "" {
			return
		}
		// Nobody waits for this file, so a failure to remove it is no error of
		// Close: the next Listen finds it stale.
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.bound) {
			_ = os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}
