package shmconn

import (
	"os"
	"time"

	"github.com/carp-rpc/carp-go/internal/shm"
	"github.com/carp-rpc/carp-go/internal/unixsock"
)

// File is a copy of the listening socket, for another process that shall take it over.
// The caller closes it. The other process may accept on it as soon as it has it: each
// dialler is served by one of the two. So no dialler is refused in a restart that goes
// like this:
//
//	f, err := l.File()
//	next := exec.Command(program)
//	next.ExtraFiles = []*os.File{f}
//	next.Env = append(os.Environ(), "LISTEN_FDS=1") // see InheritedFiles
//	err = next.Start()
//	// wait until it says that it accepts
//	l.SetUnlinkOnClose(false)
//	l.Drain() // Accept returns the connections under way, and then net.ErrClosed
func (l *Listener) File() (*os.File, error) {
	f, err := copyOf(l.sock)
	if err != nil {
		return nil, addrError("file", l.addr.Name, err)
	}
	return f, nil
}

// SetUnlinkOnClose says whether Close removes the socket's file: it does for listeners
// made by Listen, and doesn't for those made by FileListener.
func (l *Listener) SetUnlinkOnClose(unlink bool) { l.sock.SetUnlinkOnClose(unlink) }

// FileListener makes a listener of a listening unix socket that another process opened: f
// is what [Listener.File] gave, or systemd. The listener has a copy of f, which the
// caller may close. Its Close leaves the socket's file alone; see SetUnlinkOnClose.
func FileListener(f *os.File, cfg *Config) (*Listener, error) {
	l, err := fileListener(f, cfg)
	if err != nil {
		return nil, addrError("listen", f.Name(), err)
	}
	return l, nil
}

func fileListener(f *os.File, cfg *Config) (*Listener, error) {
	r, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	if err := shm.Supported(); err != nil {
		return nil, err
	}
	sock, err := unixsock.FromFile(f)
	if err != nil {
		return nil, err
	}
	if err := checkListening(sock); err != nil {
		_ = sock.Close()
		return nil, err
	}
	return newListener(sock, Addr{Name: sock.Addr().String()}, r), nil
}

// Drain stops taking diallers from the socket. Accept still returns the connections
// whose handshakes are under way, and then fails with an error that wraps
// [net.ErrClosed]; the listener closes itself. Diallers that come later are served by
// another process that has the socket, see File, or else fail.
func (l *Listener) Drain() {
	l.drained.Store(true)
	_ = l.sock.SetDeadline(time.Unix(1, 0)) // ends the accept of the loop
	l.start.Do(func() {})                   // no loop if there is none yet
	go func() {
		l.work.Wait()
		_ = l.Close()
	}()
}
