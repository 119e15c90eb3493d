package carpgrpc_test

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/keepalive"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// keeping is a listener that keeps what it accepted.
type keeping struct {
	net.Listener

	conns chan net.Conn
}

func (l keeping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.conns <- c
	}
	return c, err
}

// grpc-go's bound on unacknowledged data reaches TCP connections of ours.
func TestTCPUserTimeout(t *testing.T) {
	for want, opts := range map[time.Duration][]carpgrpc.ServerOption{
		20 * time.Second: nil,
		7 * time.Second:  {carpgrpc.KeepaliveParams(keepalive.ServerParameters{Timeout: 7 * time.Second})},
	} {
		t.Run(want.String(), func(t *testing.T) {
			leak.Check(t)
			lis := keeping{listen(t, "tcp://127.0.0.1:0"), make(chan net.Conn, 1)}
			serve(t, service{}, lis, opts...)
			if err := unary(t.Context(), clientOf(t, lis), 64); err != nil {
				t.Fatal(err)
			}
			raw, err := (<-lis.conns).(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			var got int
			var sockErr error
			err = raw.Control(func(fd uintptr) {
				got, sockErr = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
			})
			if err != nil || sockErr != nil || got != int(want.Milliseconds()) {
				t.Errorf("TCP_USER_TIMEOUT = %d ms, %v, %v, want %v", got, err, sockErr, want)
			}
		})
	}
}
