package host

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/host/internal/link"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// tunnelPiece is how many bytes of a tunnel go in one message.
const tunnelPiece = 32 << 10

// tunnel is gRPC against the direction of an HTTP/2 connection: a connection of
// its own, within a stream. The end that accepted the link is its client. It is
// made when it is first wanted.
type tunnel struct {
	ask   sync.Once
	ready chan struct{} // closed when there is a client

	mu     sync.Mutex
	ended  bool
	client *grpc.ClientConn
	server *grpc.Server
}

// stubs returns the way to the peer for gRPC's generated code, or nil if there
// are only frames.
func (l *Link) stubs(ctx context.Context) (grpc.ClientConnInterface, error) {
	if l.grpc != nil {
		return l.grpc, nil
	}
	if !l.frames.PeerHas(link.Tunnel) {
		return nil, nil
	}
	l.tunnel.ask.Do(l.frames.AskForTunnel)
	select {
	case <-l.tunnel.ready:
		return l.tunnel.client, nil
	case <-l.frames.Done():
		return nil, l.explain(&link.LostError{Err: l.Err()})
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// Tunnel implements [carpv1.PeerServer]: the client's end of a tunnel.
func (s *peerServer) Tunnel(stream grpc.BidiStreamingServer[carpv1.Data, carpv1.Data]) error {
	l := linkOf(stream.Context())
	near, far := net.Pipe()
	client, err := tunnelClient(near)
	if err != nil {
		return err
	}
	if !l.tunnel.open(client) {
		client.Close()
		return status.Error(codes.AlreadyExists, "the link has a tunnel already")
	}
	stop := context.AfterFunc(l.frames.Context(), func() { far.Close() })
	defer stop()
	defer client.Close()
	// The stream ends when this function returns, and with it carryDown.
	go carryDown(stream, far)
	carryUp(stream, far)
	return nil
}

func tunnelClient(conn net.Conn) (*grpc.ClientConn, error) {
	once := make(chan net.Conn, 1)
	once <- conn
	return grpc.NewClient("passthrough:///tunnel",
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			select {
			case c := <-once:
				return c, nil
			default:
				return nil, errors.New("the tunnel has ended")
			}
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the link's are around it
		grpc.WithAuthority("localhost"),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
	)
}

// open takes a client into use, unless there is one.
func (t *tunnel) open(client *grpc.ClientConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || t.client != nil {
		return false
	}
	t.client = client
	close(t.ready)
	return true
}

// openTunnel serves the peer's calls through a tunnel, for which it has asked.
func (l *Link) openTunnel() {
	if l.conn == nil {
		return // only who opened a link opens tunnels
	}
	l.tunnel.ask.Do(func() {
		l.host.spawn(func() {
			if err := l.serveTunnel(); err != nil {
				l.host.log.Debug("a tunnel has failed", "target", l.target, "err", err)
			}
		})
	})
}

func (l *Link) serveTunnel() error {
	ctx := metadata.AppendToOutgoingContext(l.frames.Context(), sessionKey, l.session())
	stream, err := carpv1.NewPeerClient(l.conn).Tunnel(ctx)
	if err != nil {
		return err
	}
	near, far := net.Pipe()
	server := l.host.newTunnelServer(l)
	if !l.tunnel.serve(server) {
		server.Stop()
		near.Close()
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(newOneListener(near)) // ends with the conn
	}()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		carryUp(stream, far)
		_ = stream.CloseSend() // carryDown hears what comes of it
	}()
	carryDown(stream, far)
	<-sent
	server.Stop()
	<-served
	return nil
}

func (t *tunnel) serve(s *grpc.Server) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return false
	}
	t.server = s
	return true
}

// closeTunnel ends the tunnel with its link.
func (l *Link) closeTunnel() {
	t := &l.tunnel
	t.mu.Lock()
	t.ended = true
	client, server := t.client, t.server
	t.mu.Unlock()
	if client != nil {
		client.Close()
	}
	if server != nil {
		server.Stop()
	}
}

// drain lets the server hand over its answers.
func (t *tunnel) drain() {
	t.mu.Lock()
	server := t.server
	t.mu.Unlock()
	if server != nil {
		server.GracefulStop()
	}
}

// newTunnelServer serves the peer of a link.
func (h *Host) newTunnelServer(l *Link) *grpc.Server {
	return grpc.NewServer(
		grpc.ForceServerCodecV2(raw.Codec(protoCodec)),
		grpc.UnknownServiceHandler(h.handler(l)),
		grpc.MaxRecvMsgSize(max(h.maxMessage, maxFrame)),
		grpc.MaxConcurrentStreams(uint32(h.maxCalls)),
	)
}

// dataStream is a tunnel's stream, as both ends have it.
type dataStream interface {
	Send(*carpv1.Data) error
	Recv() (*carpv1.Data, error)
}

// carryUp sends what is written at the other end of conn, until that is closed.
func carryUp(stream dataStream, conn net.Conn) {
	buf := make([]byte, tunnelPiece)
	for {
		n, err := conn.Read(buf)
		if n > 0 && stream.Send(&carpv1.Data{Data: buf[:n]}) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

// carryDown hands on what comes, until the peer ends the stream.
func carryDown(stream dataStream, conn net.Conn) {
	for {
		d, err := stream.Recv()
		if err != nil {
			conn.Close()
			return
		}
		// When the other end of conn is closed, the peer hears of it and ends
		// the stream.
		_, _ = conn.Write(d.GetData())
	}
}

// oneListener accepts one conn, and ends with it.
type oneListener struct {
	conn   chan net.Conn
	addr   net.Addr
	closed chan struct{}
	once   sync.Once
}

func newOneListener(c net.Conn) *oneListener {
	l := &oneListener{conn: make(chan net.Conn, 1), addr: c.LocalAddr(), closed: make(chan struct{})}
	l.conn <- c
	return l
}

// Accept implements [net.Listener].
func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, io.EOF
	}
}

// Close implements [net.Listener].
func (l *oneListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (l *oneListener) Addr() net.Addr { return l.addr }
