package host

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/peer"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/host/internal/link"
)

// ConnectServer links this host with the gRPC server at target that is no host,
// in whatever language it is written, and returns when it is known what it has.
// [Host.RequireConn] then finds its services like those of a host:
//
//	link, err := h.ConnectServer(ctx, "unix:///run/greeter.sock", "helloworld.Greeter")
//	conn, err := h.RequireConn(ctx, "helloworld.Greeter")
//	greeter := pb.NewGreeterClient(conn)
//
// Services are the full names of those that it has. If none are named, the server is
// asked for them by reflection; what it answers is an announcement as of any
// host, see [WithAnnouncements]. What is named here, or answered, isn't looked into: a
// call of a method that the server doesn't have ends with its answer, Unimplemented.
// Functions are required with [WithCodec]("proto"), and take and return the messages
// of the service.
//
// The link is kept as by [Host.Connect], and calls that the server takes end as it
// lets them when it stops in good order. The server gets nothing of this host: it
// can't call back, so callbacks, objects and one-way calls are refused. Its
// [Link.PeerLabel] is the target, and its [Link.PeerID] is made up at this end. On a
// network nothing asks whether the server lives: calls should have deadlines.
func (h *Host) ConnectServer(ctx context.Context, target string, services ...string) (*Link, error) {
	d := &dialled{host: h, target: target, over: make(chan struct{})}
	d.plain = &plainServer{id: hex.EncodeToString(randomBytes()), nonce: randomBytes(), services: services}
	var l *Link
	var err error
	for _, s := range services {
		err = errors.Join(err, checkName(s))
	}
	if err == nil {
		l, err = d.connect(ctx)
	}
	if err != nil {
		d.giveUp()
		return nil, fmt.Errorf("host %q: connect to the gRPC server at %s: %w", h.label, target, err)
	}
	return l, nil
}

// plainServer is what stays the same of a server from one link to the next.
type plainServer struct {
	id       string
	nonce    []byte
	services []string // as named; empty to ask
}

// named tells that the peer's services were named at this end, which is consent to
// them.
func (l *Link) named() bool { return l.plain && len(l.dial.plain.services) > 0 }

// openPlain dials a server and starts a link with it.
func (d *dialled) openPlain(ctx context.Context, l *Link) error {
	conn, err := d.host.dial(d.target, carpgrpc.WithIdleTimeout(0))
	if err != nil {
		return err
	}
	l.beside = newBesideConn(conn)
	l.conn, l.grpc, l.plain = conn, l.beside, true
	services, err := d.survey(ctx, l)
	if err == nil {
		err = d.startPlain(l, services)
	}
	if err != nil {
		conn.Close()
	}
	return err
}

// startPlain starts the link, which lasts as long as the connection.
func (d *dialled) startPlain(l *Link, services []string) error {
	ctx, cancel := context.WithCancel(d.host.ctx)
	s := newStandIn(ctx, d, services)
	if err := d.host.startLink(s, l, cancel); err != nil {
		cancel()
		return err
	}
	watch := func() {
		// The connection may still be about to say that it is ready, though it was used.
		for s := connectivity.Connecting; s == connectivity.Connecting || s == connectivity.Ready; s = l.conn.GetState() {
			if !l.conn.WaitForStateChange(ctx, s) {
				return // the link has ended
			}
			if s == connectivity.Ready {
				break
			}
		}
		// A server that stops in good order lets calls end. Others go to the next
		// link already.
		d.host.peers.retire(l)
		d.ended(l)
		select {
		case <-l.beside.idle():
			close(s.lost)
		case <-ctx.Done():
		}
	}
	if !d.host.spawn(watch) {
		cancel()
		l.frames.Close(ErrClosed)
	}
	return nil
}

// survey makes the connection and returns the services that the server has.
func (d *dialled) survey(ctx context.Context, l *Link) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Opening a stream makes the connection, and tells why there is none.
	stream, err := reflectionv1.NewServerReflectionClient(l.conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	l.peer, _ = peer.FromContext(stream.Context())
	if len(d.plain.services) > 0 {
		return d.plain.services, nil
	}
	names, err := listServices(stream)
	if status.Code(err) == codes.Unimplemented {
		// The older version has the same messages, and grpcio has no other.
		var old grpc.ClientStream
		old, err = l.conn.NewStream(ctx, &reflectionv1.ServerReflection_ServiceDesc.Streams[0], oldReflection)
		if err == nil {
			names, err = listServices(&grpc.GenericClientStream[reflectionv1.ServerReflectionRequest, reflectionv1.ServerReflectionResponse]{ClientStream: old})
		}
	}
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil, fmt.Errorf("it has no reflection to ask for its services; name them: %w", err)
	case err != nil:
		return nil, fmt.Errorf("asking for its services by reflection: %w", err)
	case len(names) == 0:
		return nil, errors.New("its reflection lists no services; name them")
	}
	return names, nil
}

// oldReflection is the method of the version of reflection before the first.
const oldReflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

// internals are services that hosts have themselves.
var internals = []string{"grpc.reflection.", "grpc.health."}

// listServices asks what services there are, without those that are about the server.
func listServices(stream grpc.BidiStreamingClient[reflectionv1.ServerReflectionRequest, reflectionv1.ServerReflectionResponse]) ([]string, error) {
	// What comes of a server that has ended the stream, Recv tells.
	err := stream.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	answer, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if e := answer.GetErrorResponse(); e != nil {
		return nil, status.Error(codes.Code(uint32(e.GetErrorCode())), e.GetErrorMessage())
	}
	var names []string
	for _, s := range answer.GetListServicesResponse().GetService() {
		name := s.GetName()
		internal := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
		if !slices.ContainsFunc(internals, internal) && checkName(name) == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// standIn speaks for a server that knows nothing of links: it says hello, announces
// what the server has, and answers for it. Calls don't go this way.
type standIn struct {
	ctx    context.Context //nolint:containedctx // the link's
	frames chan *carpv1.Frame
	lost   chan struct{} // closed when the connection is
}

var _ link.Stream = (*standIn)(nil)

func newStandIn(ctx context.Context, d *dialled, services []string) *standIn {
	s := &standIn{ctx: ctx, frames: make(chan *carpv1.Frame, 2), lost: make(chan struct{})}
	s.frames <- &carpv1.Frame{Kind: &carpv1.Frame_Hello{Hello: &carpv1.Hello{
		MinVersion: 1, MaxVersion: 1, HostId: d.plain.id, Nonce: d.plain.nonce, Label: d.target,
	}}}
	exports := &carpv1.Exports{Generation: 1, Full: true}
	for _, name := range services {
		exports.Added = append(exports.Added, &carpv1.Export{Name: name})
	}
	s.frames <- &carpv1.Frame{Kind: &carpv1.Frame_Exports{Exports: exports}}
	return s
}

// Send implements [link.Stream].
func (s *standIn) Send(f *carpv1.Frame) error {
	ping := f.GetPing()
	if ping == nil {
		return nil
	}
	select {
	case s.frames <- &carpv1.Frame{Kind: &carpv1.Frame_Pong{Pong: &carpv1.Pong{Token: ping.GetToken()}}}:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// Recv implements [link.Stream].
func (s *standIn) Recv() (*carpv1.Frame, error) {
	select {
	case f := <-s.frames:
		return f, nil
	case <-s.lost:
		return nil, status.Error(codes.Unavailable, "the connection to the server was lost")
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// backward is why a reference or a one-way call can't go to the provider, or nil.
func (p provider) backward(what string) error {
	if p.link == nil || !p.link.plain {
		return nil
	}
	return fmt.Errorf("the gRPC server at %s is no carp host, and takes no %s", p.link.target, what)
}
