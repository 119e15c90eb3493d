package carpgrpc

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/keepalive"
)

// defaultKeepaliveTimeout is grpc-go's.
const defaultKeepaliveTimeout = 20 * time.Second

// setUserTimeout bounds how long the kernel tries to send data that a TCP peer does
// not acknowledge. grpc-go sets it on the conns that it recognises as TCP, which a
// wrapped one isn't.
func setUserTimeout(conn net.Conn, p *keepalive.ServerParameters) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	timeout := defaultKeepaliveTimeout
	if p != nil && p.Timeout > 0 {
		timeout = p.Timeout
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var sockErr error
	err = raw.Control(func(fd uintptr) {
		sockErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
	})
	if err == nil {
		err = sockErr
	}
	if err != nil {
		return fmt.Errorf("set TCP_USER_TIMEOUT on connection from %s: %w", tcp.RemoteAddr(), err)
	}
	return nil
}
