package shm

import (
	"errors"
	"fmt"
	"io"
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
		if werr != nil && err != nil && !errors.Is(err, ErrRefused) {
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
	seg, mapErr := in.openSegment(off)
	if errors.Is(mapErr, ErrCorrupt) {
		return nil, mapErr
	}
	if mapErr != nil {
		_, err := conn.Write(frame(kindAck, ack{reason: mapErr.Error()}))
		return nil, err
	}
	if _, err := conn.Write(frame(kindAck, ack{ok: true})); err != nil {
		seg.close()
		return nil, err
	}
	return newSession(seg, conn, true, Info{Peer: peer, Proto: off.proto})
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
	return offerEach(conn, off, opt.Backings&h.backings, peer)
}

// offerEach offers one backing after the other until the dialler can map one.
func offerEach(conn *net.UnixConn, off offer, backings Backings, peer PeerCred) (*Session, error) {
	var failed []string
	for _, b := range []Backing{MemFD, SysV} {
		if !backings.Has(b) {
			continue
		}
		off.backing = b
		seg, err := makeOffer(conn, off)
		if err != nil {
			return nil, err
		}
		if seg.mapped != nil {
			return newSession(seg.mapped, conn, false,
				Info{Peer: peer, Proto: off.proto, Why: strings.Join(failed, "; ")})
		}
		failed = append(failed, fmt.Sprintf("%v: %s", b, seg.reason))
	}
	if failed == nil {
		failed = []string{"the two sides have no backing in common"}
	}
	return nil, refuse(conn, errors.New("no shared memory: "+strings.Join(failed, "; ")))
}

// offered is the outcome of one offer: a segment that both sides have mapped, or
// why there is none.
type offered struct {
	mapped *Segment
	reason string
}

// makeOffer makes a segment and offers it. An error ends the handshake.
func makeOffer(conn *net.UnixConn, off offer) (offered, error) {
	seg, fd, err := createSegment(&off)
	if err != nil {
		return offered{reason: "the listener could not make it: " + err.Error()}, nil
	}
	err = sendWithFD(conn, frame(kindOffer, off), fd)
	if fd >= 0 {
		unix.Close(fd)
	}
	var a ack
	if err == nil {
		a, err = readAck(conn)
	}
	if err != nil || !a.ok {
		seg.close()
		return offered{reason: "the dialler could not map it: " + a.reason}, err
	}
	return offered{mapped: seg}, nil
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

// createSegment makes a segment of the offer's backing. fd is -1 if the backing
// has none to send.
func createSegment(off *offer) (seg *Segment, fd int, err error) {
	switch off.backing {
	case MemFD:
		return createMemFD(off.caps)
	default:
		return nil, -1, fmt.Errorf("%v: %w", off.backing, errors.ErrUnsupported)
	}
}

// refuse tells the peer why the handshake ends, and returns that as an error.
func refuse(conn *net.UnixConn, why error) error {
	_, _ = conn.Write(frame(kindRefuse, refusal{reason: why.Error()}))
	return fmt.Errorf("%w: %w", ErrRefused, why)
}

func sendWithFD(conn *net.UnixConn, msg []byte, fd int) error {
	var oob []byte
	if fd >= 0 {
		oob = unix.UnixRights(fd)
	}
	n, _, err := conn.WriteMsgUnix(msg, oob, nil)
	if err == nil && n < len(msg) { // the descriptor went with the first part
		_, err = conn.Write(msg[n:])
	}
	return err
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

// fdReader reads the socket and keeps the first descriptor that comes with what
// it reads; any other is closed.
type fdReader struct {
	conn *net.UnixConn
	fd   int
	has  bool
}

func (r *fdReader) Read(p []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4)) // Go's recvmsg asks for close-on-exec
	n, oobn, _, _, err := r.conn.ReadMsgUnix(p, oob)
	r.keep(oob[:oobn])
	if n == 0 && err == nil && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

func (r *fdReader) keep(oob []byte) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if r.has {
				unix.Close(fd)
				continue
			}
			r.fd, r.has = fd, true
		}
	}
}

// openSegment maps what was offered, with the descriptor that came with it.
func (r *fdReader) openSegment(off offer) (*Segment, error) {
	defer r.close()
	switch off.backing {
	case MemFD:
		if !r.has {
			return nil, fmt.Errorf("%w: offer of a memfd without a descriptor", ErrCorrupt)
		}
		return openMemFD(r.fd, off.caps)
	default:
		return nil, fmt.Errorf("%v: %w", off.backing, errors.ErrUnsupported)
	}
}

func (r *fdReader) close() {
	if r.has {
		unix.Close(r.fd)
		r.has = false
	}
}
