package carpgrpc

import (
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/keepalive"
)

// grpc-go pings no sooner than after 10 s, so what is tested is that the option gets
// to it, and not what it does.
func TestWithKeepaliveParams(t *testing.T) {
	without := newClientConfig(nil)
	with := newClientConfig([]ClientOption{WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute})})
	if with.keepalive == nil || with.keepalive.Time != time.Minute {
		t.Errorf("recorded as %+v", with.keepalive)
	}
	if got, want := len(with.grpcOptions()), len(without.grpcOptions())+1; got != want {
		t.Errorf("%d options for grpc-go, want %d", got, want)
	}
}

// A conn that was accepted while the server is stopped is not left open.
func TestHandshakeAfterEnd(t *testing.T) {
	var s handshakes
	s.end()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	s.add(ours)
	if _, err := theirs.Read(make([]byte, 1)); err == nil {
		t.Error("the conn is still open")
	}
}
