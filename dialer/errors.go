package dialer

import (
	"errors"
	"io/fs"
	"net"
	"strconv"

	"github.com/carp-rpc/carp-go/internal/unixsock"
)

// Causes, to be found with [errors.Is] in the errors of this package.
var (
	// ErrUnknownScheme is a target whose scheme is none of this package's.
	ErrUnknownScheme = errors.New("unknown scheme")
	// ErrBadTarget is a target with a known scheme whose rest is malformed: an
	// empty name, a bad port and so on. The text around it says which.
	ErrBadTarget = errors.New("malformed target")
	// ErrTooLong is a path or abstract name over the kernel's limit. It also is
	// syscall.ENAMETOOLONG.
	ErrTooLong = unixsock.ErrTooLong
	// ErrNotSocket says that the path to listen on holds another kind of file,
	// which was left alone.
	ErrNotSocket = unixsock.ErrNotSocket
	// ErrNoCredentials is a tcp target or connection for which [Config.TCP]
	// says nothing.
	ErrNoCredentials = errors.New("tcp needs credentials: set TLS (credentials.NewTLS), or plain text explicitly (insecure.NewCredentials)")
)

// Error says what was tried, on which target, and why it failed. The functions
// of this package return all their errors as an *Error.
//
// It is a [net.Error]; [errors.As] also finds the [*net.OpError] below it, where
// there is one.
type Error struct {
	Op     string // "parse", "listen" or "dial"
	Target string // as the caller wrote it
	Err    error  // the cause, never nil

	// hint is what the user may do about it.
	hint string
}

var _ net.Error = (*Error)(nil)

// Error is one line: operation, target, cause and, where one is known, a remedy.
func (e *Error) Error() string {
	s := e.Op + " " + quoteIfOdd(e.Target) + ": " + withoutOpError(e.Err).Error()
	if e.hint != "" {
		s += ": " + e.hint
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a timeout.
func (e *Error) Timeout() bool {
	var ne net.Error
	return errors.As(e.Err, &ne) && ne.Timeout()
}

// Temporary reports whether the same call may succeed later without anyone
// changing the target: gRPC reads it to tell whether dialling again makes sense.
func (e *Error) Temporary() bool { return e.Op == "dial" && !errors.Is(e.Err, ErrBadTarget) }

// A RefusedError says that [Config.Allow] refused the process at the other end of
// a unix or shm connection. It matches [fs.ErrPermission].
type RefusedError struct {
	Addr string   // the socket's address as the connection tells it
	Peer PeerCred // who was refused
	Err  error    // what Allow said
}

// Error names the address, the process and the reason.
func (e *RefusedError) Error() string {
	return "peer refused on " + e.Addr + " (pid " + strconv.Itoa(e.Peer.PID) + "): " + e.Err.Error()
}

// Unwrap returns what Allow said.
func (e *RefusedError) Unwrap() error { return e.Err }

// Is reports whether target is [fs.ErrPermission].
func (e *RefusedError) Is(target error) bool { return target == fs.ErrPermission }

// withoutOpError takes off the net package's wrapping, which would say operation
// and address once more.
func withoutOpError(err error) error {
	if op, ok := err.(*net.OpError); ok { //nolint:errorlint // only the outermost layer is repetition
		return op.Err
	}
	return err
}

// quoteIfOdd quotes a target that would not be readable in a line of text.
func quoteIfOdd(s string) string {
	if q := strconv.Quote(s); s == "" || q != `"`+s+`"` {
		return q
	}
	return s
}
