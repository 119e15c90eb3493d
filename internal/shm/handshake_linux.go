package shm

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"

	"golang.org/x/sys/unix"
)

// Supported tells whether shared memory works on this platform: nil, or an error
// that wraps [errors.ErrUnsupported].
func Supported() error { return nil }

// Connect is the dialler's side of the handshake. The caller sets conn's deadline,
// and closes conn if it fails; the session owns it otherwise.
func Connect(conn *net.UnixConn, opt *Options) (*Session, error) {
	peer, err := peerCred(conn)
	if err != nil {
		return nil, err
	}
	if opt.Allow != nil {
		if err := opt.Allow(peer); err != nil {
			return nil, fmt.Errorf("%w by us: the listener is %w", ErrRefused, err)
		}
	}
	// A listener that refuses may do so before it reads: its refusal is then
	// there to be read although the hello can't be written.
	_, werr := conn.Write(frame(kindHello, opt.hello()))
	in := &fdReader{conn: conn}
	defer in.close()
	for {
		sess, err := takeOffer(conn, in, opt, peer)
		if werr != nil && err != nil && !errors.Is(err, ErrRefused) && !errors.Is(err, ErrNotShm) {
			return nil, werr
		}
		if sess != nil || err != nil {
			return sess, err
		}
	}
}

// takeOffer reads the listener's answer and, if it is a segment that can be
// mapped, makes the session. No session and no error: there may be another offer.
func takeOffer(conn *net.UnixConn, in *fdReader, opt *Options, peer PeerCred) (*Session, error) {
	k, _, body, err := readFrame(in)
	if err != nil {
		return nil, answerError(err)
	}
	switch k {
	case kindRefuse:
		f, err := parseRefusal(body)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w by the listener: %s", ErrRefused, f.reason)
	case kindOffer:
	default:
		return nil, fmt.Errorf("%w: handshake message of kind %d in place of an offer", ErrCorrupt, k)
	}
	off, err := parseOffer(body)
	if err != nil {
		return nil, err
	}
	if err := opt.checkOffer(off); err != nil {
		return nil, err
	}
	seg, mapErr := openSegment(off, in, peer)
	if errors.Is(mapErr, ErrCorrupt) {
		return nil, mapErr
	}
	if mapErr != nil {
		_, err := conn.Write(frame(kindAck, ack{reason: mapErr.Error()}))
		return nil, err
	}
	if _, err := conn.Write(frame(kindAck, ack{ok: true})); err != nil {
		_ = seg.close()
		return nil, err
	}
	return opt.session(seg, conn, true, Info{Peer: peer, Proto: off.proto, Why: off.why})
}

// answerError says what an end of the connection in place of an answer means.
func answerError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
		return fmt.Errorf("%w: it closed the connection in place of an answer", ErrNotShm)
	}
	return err
}

// Accept is the listener's side of the handshake. The caller sets conn's
// deadline, and closes conn if it fails; the session owns it otherwise.
func Accept(conn *net.UnixConn, opt *Options) (*Session, error) {
	peer, err := peerCred(conn)
	if err != nil {
		return nil, err
	}
	if opt.Allow != nil {
		if err := opt.Allow(peer); err != nil {
			return nil, refuse(conn, fmt.Errorf("the dialler is %w", err))
		}
	}
	k, _, body, err := readFrame(conn)
	if err != nil {
		return nil, err
	}
	if k != kindHello {
		return nil, fmt.Errorf("%w: handshake message of kind %d in place of a hello", ErrCorrupt, k)
	}
	h, err := parseHello(body)
	if err != nil {
		return nil, err
	}
	off, err := opt.answer(h)
	if err != nil {
		return nil, refuse(conn, err)
	}
	return opt.offerEach(conn, off, opt.order(opt.Backings&h.backings&AllBackings), peer)
}

// offerEach offers one backing after the other until the dialler can map one.
func (o *Options) offerEach(conn *net.UnixConn, off offer, backings []Backing, peer PeerCred) (*Session, error) {
	var failed []string
	for _, b := range backings {
		off.backing, off.why = b, strings.Join(failed, "; ")
		seg, why, err := makeOffer(conn, off)
		if err != nil {
			return nil, err
		}
		if seg != nil {
			return o.session(seg, conn, false, Info{Peer: peer, Proto: off.proto, Why: off.why})
		}
		failed = append(failed, fmt.Sprintf("%v: %s", b, why))
	}
	if failed == nil {
		failed = []string{"the two sides have no backing in common"}
	}
	return nil, refuse(conn, errors.New("no shared memory: "+strings.Join(failed, "; ")))
}

// makeOffer makes a segment and offers it. It gives the segment that both sides have
// mapped, or why they haven't; an error ends the handshake.
func makeOffer(conn *net.UnixConn, off offer) (seg *Segment, why string, err error) {
	seg, fd, makeErr := createSegment(&off)
	if makeErr != nil {
		return nil, "the listener could not make it: " + makeErr.Error(), nil //nolint:nilerr // the next backing may do
	}
	err = sendWithFD(conn, frame(kindOffer, off), fd)
	if fd >= 0 {
		_ = unix.Close(fd)
	}
	var a ack
	if err == nil {
		a, err = readAck(conn)
	}
	if err != nil || !a.ok {
		_ = seg.close()
		return nil, "the dialler could not map it: " + a.reason, err
	}
	return seg, "", nil
}

func readAck(conn *net.UnixConn) (ack, error) {
	k, _, body, err := readFrame(conn)
	if err != nil {
		return ack{}, noEOF(err)
	}
	if k != kindAck {
		return ack{}, fmt.Errorf("%w: handshake message of kind %d in place of an ack", ErrCorrupt, k)
	}
	return parseAck(body)
}

// createSegment makes a segment of the offer's backing, and completes the offer. fd is
// -1 if the backing has none to send.
func createSegment(off *offer) (seg *Segment, fd int, err error) {
	fd = -1
	switch off.backing {
	case MemFD:
		seg, fd, err = createMemFD(off.caps)
	case SysV:
		var id int
		seg, id, err = createSysV(off.caps)
		off.id = int32(id)
	default:
		err = fmt.Errorf("%v: %w", off.backing, errors.ErrUnsupported)
	}
	if err != nil {
		return nil, -1, err
	}
	off.nonce = rand.Uint64()
	setNonce(seg.mem, off.nonce)
	return seg, fd, nil
}

// openSegment maps what was offered, with the descriptor that came with it.
func openSegment(off offer, in *fdReader, peer PeerCred) (*Segment, error) {
	var seg *Segment
	switch off.backing {
	case MemFD:
		fd, err := in.take()
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		if seg, err = openMemFD(fd, off.caps); err != nil {
			return nil, err
		}
	case SysV:
		var err error
		if seg, err = openSysV(int(off.id), off.caps, peer); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%v: %w", off.backing, errors.ErrUnsupported)
	}
	if nonceOf(seg.mem) != off.nonce {
		_ = seg.close()
		return nil, errOtherSegment
	}
	return seg, nil
}

// errOtherSegment is what a dialler says that got hold of another segment than the one
// it was offered.
var errOtherSegment = errors.New("the id names another segment here: do the two processes share an IPC namespace?")

// session makes the session of a segment that both sides have mapped.
func (o *Options) session(seg *Segment, conn *net.UnixConn, dialler bool, info Info) (*Session, error) {
	if o.HugePages {
		// Where the system knows none for shared memory, or may not use them,
		// it says so here, and nothing is lost.
		_ = unix.Madvise(seg.mem, unix.MADV_HUGEPAGE)
	}
	return newSession(seg, conn, dialler, info)
}

// refuse tells the peer why the handshake ends, and returns that as an error.
func refuse(conn *net.UnixConn, why error) error {
	_, _ = conn.Write(frame(kindRefuse, refusal{reason: why.Error()}))
	return fmt.Errorf("%w: %w", ErrRefused, why)
}

func peerCred(conn *net.UnixConn) (PeerCred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return PeerCred{}, err
	}
	var cred *unix.Ucred
	ctlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(ctlErr, err); err != nil {
		return PeerCred{}, fmt.Errorf("read the peer's credentials: %w", err)
	}
	return PeerCred{PID: int(cred.Pid), UID: cred.Uid, GID: cred.Gid}, nil
}
