package dialer

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/carp-rpc/carp-go/internal/unixsock"
)

// Networks of a [Target].
const (
	Shm  = "shm"
	Unix = "unix"
	TCP  = "tcp"
)

// abstractSuffix makes the scheme of an abstract name from that of a path.
const abstractSuffix = "-abstract"

// Target is a parsed target.
type Target struct {
	// Network is [Shm], [Unix] or [TCP].
	Network string
	// Address is what the network's own Dial takes: a path or "@name" for shm
	// and unix, "host:port" for tcp.
	Address string
}

// Parse reads a target:
//
//	shm:///path        shm:relative        shm-abstract:name
//	unix:///path       unix:relative       unix-abstract:name
//	tcp://host:port
//
// "unix:/path" is another way to write "unix:///path", as in gRPC's own naming,
// and the text is taken literally: no percent signs are decoded. Host may be a
// name, an IPv4 address or an IPv6 address in brackets, port is a number.
//
// Parse checks the text and does not look at the file system or the network. Its
// errors name the target and wrap [ErrUnknownScheme], [ErrBadTarget] or
// [ErrTooLong].
func Parse(target string) (Target, error) {
	t, err := parse(target)
	if err != nil {
		return Target{}, &Error{Op: "parse", Target: target, Err: err}
	}
	return t, nil
}

func parse(target string) (Target, error) {
	scheme, rest, found := strings.Cut(target, ":")
	if !found {
		return Target{}, unknownScheme(target, "it has no scheme")
	}
	switch scheme = strings.ToLower(scheme); scheme {
	case Shm, Unix:
		return parsePath(scheme, rest)
	case Shm + abstractSuffix, Unix + abstractSuffix:
		return parseAbstract(scheme, rest)
	case TCP:
		return parseTCP(rest)
	}
	return Target{}, unknownScheme(target, strconv.Quote(scheme))
}

// unknownScheme guesses what was meant: a bare path and a bare host:port are
// what people write first.
func unknownScheme(target, what string) error {
	var hint string
	if strings.HasPrefix(target, "/") {
		hint = ": for a unix socket write unix://" + target
	} else if host, port, err := net.SplitHostPort(target); err == nil && checkPort(port) == nil {
		hint = ": for a TCP address write tcp://" + net.JoinHostPort(host, port)
	}
	return fmt.Errorf("%w (%s; known are shm, shm-abstract, unix, unix-abstract and tcp)%s", ErrUnknownScheme, what, hint)
}

func parsePath(network, rest string) (Target, error) {
	path := rest
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		if after != "" && after[0] != '/' {
			return Target{}, fmt.Errorf("%w: after %q comes an absolute path with a slash of its own (%s:///%s); a relative one is %s:%s",
				ErrBadTarget, network+"://", network, after, network, after)
		}
		path = after
	}
	if unixsock.IsAbstract(path) {
		return Target{}, fmt.Errorf("%w: a path with a leading @ would be an abstract name: write %s%s:%s or %s:./%s",
			ErrBadTarget, network, abstractSuffix, path[1:], network, path)
	}
	return checked(Target{Network: network, Address: path})
}

func parseAbstract(scheme, name string) (Target, error) {
	if strings.HasPrefix(name, "//") {
		return Target{}, fmt.Errorf("%w: an abstract name is no path: write %s:name", ErrBadTarget, scheme)
	}
	return checked(Target{Network: strings.TrimSuffix(scheme, abstractSuffix), Address: "@" + name})
}

// checked applies the rules for unix socket addresses, which hold for shm's
// rendezvous as well.
func checked(t Target) (Target, error) {
	err := unixsock.Check(t.Address)
	if errors.Is(err, unixsock.ErrEmpty) || errors.Is(err, unixsock.ErrNUL) {
		err = fmt.Errorf("%w: %w", ErrBadTarget, err)
	}
	return t, err // Parse drops a target that comes with an error
}

func parseTCP(rest string) (Target, error) {
	hostport, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return Target{}, fmt.Errorf("%w: want tcp://host:port", ErrBadTarget)
	}
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return Target{}, fmt.Errorf("%w: want tcp://host:port: %w", ErrBadTarget, err)
	}
	if strings.ContainsAny(host, "/?#@ ") || strings.ContainsRune(host, 0) {
		return Target{}, fmt.Errorf("%w: %q is no host name or address", ErrBadTarget, host)
	}
	if err := checkPort(port); err != nil {
		return Target{}, err
	}
	return Target{Network: TCP, Address: hostport}, nil
}

func checkPort(port string) error {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%w: port %q is no number from 0 to 65535", ErrBadTarget, port)
	}
	return nil
}

// checkDial reports what makes t unfit for dialling though it can be listened on.
func (t Target) checkDial() error {
	if _, port, _ := net.SplitHostPort(t.Address); t.Network == TCP && strings.Trim(port, "0") == "" {
		return fmt.Errorf("%w: port 0 is for listening only", ErrBadTarget)
	}
	return nil
}

// scheme is the part of t before the first colon.
func (t Target) scheme() string {
	if t.Network != TCP && unixsock.IsAbstract(t.Address) {
		return t.Network + abstractSuffix
	}
	return t.Network
}

// endpoint is the part of t behind its scheme, colon and slashes.
func (t Target) endpoint() string {
	if t.Network == TCP {
		return t.Address
	}
	return strings.TrimPrefix(t.Address, "@")
}

// String returns the target in its canonical form, which [Parse] reads back.
func (t Target) String() string { return t.join(t.endpoint()) }

func (t Target) join(endpoint string) string {
	if t.Network == TCP || strings.HasPrefix(endpoint, "/") && !unixsock.IsAbstract(t.Address) {
		return t.scheme() + "://" + endpoint
	}
	return t.scheme() + ":" + endpoint
}

// TargetOf returns the target under which a listener at addr can be dialled from
// this machine, or "" for an address of another kind. It is how a server that
// listened on port 0 learns what to tell its clients. A listener on all
// interfaces is given with its unspecified address, which dials the local host.
func TargetOf(addr net.Addr) string {
	switch name := addr.String(); addr.Network() {
	case "tcp", "tcp4", "tcp6":
		return Target{Network: TCP, Address: name}.String()
	case "unix":
		if rendezvous, ok := strings.CutPrefix(name, Shm+":"); ok && !isUnixAddr(addr) {
			return Target{Network: Shm, Address: rendezvous}.String()
		}
		return Target{Network: Unix, Address: name}.String()
	}
	return ""
}

// isUnixAddr tells a unix socket whose path begins with "shm:" from an shm address.
func isUnixAddr(addr net.Addr) bool {
	_, ok := addr.(*net.UnixAddr)
	return ok
}
