package shm

import (
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// fdReader reads the socket and keeps the first descriptor that comes with what
// it reads; any other is closed.
type fdReader struct {
	conn *net.UnixConn
	fd   int
	has  bool
	lost bool // the kernel could not give us a descriptor that was sent
}

func (r *fdReader) Read(p []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4)) // Go's recvmsg asks for close-on-exec
	n, oobn, flags, _, err := r.conn.ReadMsgUnix(p, oob)
	r.keep(oob[:oobn])
	if flags&unix.MSG_CTRUNC != 0 && !r.has {
		r.lost = true
	}
	if n == 0 && len(p) > 0 && (err == nil || errors.Is(err, io.EOF)) {
		err = io.EOF // bare, as io.ReadFull wants it
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
				_ = unix.Close(fd)
				continue
			}
			r.fd, r.has = fd, true
		}
	}
}

// take is the descriptor that came, which the caller closes.
func (r *fdReader) take() (int, error) {
	switch {
	case r.has:
		r.has = false
		return r.fd, nil
	case r.lost:
		r.lost = false
		return -1, fmt.Errorf("receive the descriptor of the memfd: %w", unix.EMFILE)
	default:
		return -1, fmt.Errorf("%w: offer of a memfd without a descriptor", ErrCorrupt)
	}
}

func (r *fdReader) close() {
	if r.has {
		_ = unix.Close(r.fd)
		r.has = false
	}
}

// sendWithFD sends a message, and a descriptor with it unless fd is negative.
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
