package host_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/codecs/msgpack"
	"github.com/carp-rpc/carp-go/codecs/value"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// session is what a client has that is no host: the stream of a link, and what that
// says goes with its calls.
type session struct {
	foreignClient
	t   *testing.T
	id  string
	end func()
}

func newSession(t *testing.T, h *host.Host) session {
	t.Helper()
	c := newForeignClient(t, h)
	ctx, cancel := context.WithCancel(testContext(t))
	t.Cleanup(cancel)
	stream, err := carpv1.NewPeerClient(c.conn).Link(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := rawPeer{t, stream}
	p.send(&carpv1.Frame{Kind: &carpv1.Frame_Hello{Hello: &carpv1.Hello{MinVersion: 1, MaxVersion: 1}}})
	p.announce(&carpv1.Exports{Generation: 1, Full: true})
	hello := p.upTo(func(f *carpv1.Frame) bool { return f.GetHello() != nil }).GetHello()
	return session{c, t, hello.GetSession(), cancel}
}

// in is a context for calls in the session.
func (s session) in(pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(testContext(s.t), append(pairs, "carp-session", s.id)...)
}

// create makes a Counter.
func (s session) create(start int) (value.Ref, error) {
	s.t.Helper()
	var ref value.Ref
	body, _, err := s.call(s.in(), "/Counter/call", tag{metadata: "msgpack"}, packed(s.t, []any{start}))
	if err == nil {
		err = msgpack.Unmarshal(body, &ref)
	}
	return ref, err
}

func (s session) add(ref value.Ref, n int) (string, error) {
	body, _, err := s.call(s.in("carp-instance", ref.ID), "/Counter/Add", tag{metadata: "msgpack"}, packed(s.t, []any{n}))
	return string(body), err
}

func (s session) release(ctx context.Context, ref value.Ref) error {
	_, err := carpv1.NewPeerClient(s.conn).Release(ctx, &carpv1.ReleaseRequest{
		Objects: []*carpv1.Released{{Id: ref.ID, Count: 1}},
	})
	return err
}

// A client that is no host holds objects in its session: as many as it may, no one
// else's, and until it ends.
func TestSessionObjects(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h", host.WithMaxObjects(2))
	defer h.Close()
	closed, _ := exportCounter(t, h)
	one, two := newSession(t, h), newSession(t, h)
	a, err := one.create(10)
	if err != nil {
		t.Fatal(err)
	}
	b, err := one.create(20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.create(30); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one object too many: %v", err)
	}
	if n := receive(t, closed, "what nobody holds").n.Load(); n != 30 {
		t.Errorf("%d was closed", n)
	}
	if _, err := two.create(40); err != nil {
		t.Errorf("another session: %v", err)
	}
	if got, err := one.add(a, 1); err != nil || got != string(packed(t, 11)) {
		t.Errorf("Add: %q, %v", got, err)
	}
	if _, err := two.add(a, 1); status.Code(err) != codes.NotFound {
		t.Errorf("another session's object: %v", err)
	}
	// Another session has no say in it.
	if err := two.release(two.in(), a); err != nil {
		t.Errorf("Release: %v", err)
	}
	if got, err := one.add(a, 0); err != nil || got != string(packed(t, 11)) {
		t.Errorf("after another session's Release: %q, %v", got, err)
	}
	if err := one.release(one.in(), a); err != nil {
		t.Errorf("Release: %v", err)
	}
	if n := receive(t, closed, "the released object").n.Load(); n != 11 {
		t.Errorf("%d was closed", n)
	}
	if _, err := one.create(50); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	one.end()
	sum := receive(t, closed, "an object of the session").n.Load() + receive(t, closed, "the other").n.Load()
	if sum != 20+50 {
		t.Errorf("objects of %d in all were closed with the session", sum)
	}
	if _, err := one.add(b, 1); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a session that has ended: %v", err)
	}
}

// Functions that are passed count as objects of the passer, and too many are refused
// before anything is sent.
func TestMaxCallbacks(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		export(t, exporter, "both", func(a, b func() error) {})
		defer exporter.Unexport("both")
		both := require[func(_ context.Context, a, b func()) error](t, caller, "both")
		err := both(testContext(t), func() {}, func() {})
		if e, ok := errors.AsType[*host.Error](err); !ok || e.Code() != codes.ResourceExhausted || e.Sent() {
			t.Errorf("one function too many: %v", err)
		}
		if err := both(testContext(t), func() {}, nil); err != nil {
			t.Errorf("there is room again: %v", err)
		}
	}, host.WithMaxObjects(1))
}

// Without a link that was allowed, a peer can do nothing with what links are made of.
func TestPeerServiceIsGuarded(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h", host.WithAuthorizer(func(_ context.Context, a *host.Access) error {
		if a.Action == host.ActionLink && len(a.Metadata.Get("ticket")) > 0 {
			return nil
		}
		return errors.New("no ticket")
	}))
	defer h.Close()
	c := newForeignClient(t, h)
	peers := carpv1.NewPeerClient(c.conn)
	link := func(ctx context.Context) error {
		stream, err := peers.Link(ctx)
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	tunnel := func(ctx context.Context) error {
		stream, err := peers.Tunnel(ctx)
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	release := func(ctx context.Context) error {
		_, err := peers.Release(ctx, new(carpv1.ReleaseRequest))
		return err
	}
	invented := metadata.AppendToOutgoingContext(testContext(t), "carp-session", strings.Repeat("0", 32))
	for _, ctx := range []context.Context{testContext(t), invented} {
		if err := link(ctx); status.Code(err) != codes.PermissionDenied {
			t.Errorf("Link: %v", err)
		}
		for what, err := range map[string]error{"Tunnel": tunnel(ctx), "Release": release(ctx)} {
			if status.Code(err) != codes.FailedPrecondition {
				t.Errorf("%s: %v", what, err)
			}
		}
		err := c.conn.Invoke(ctx, "/carp.v1.Peer/Other", new(carpv1.ReleaseRequest), new(carpv1.ReleaseResponse))
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("an unknown method: %v", err)
		}
		err = c.conn.Invoke(metadata.AppendToOutgoingContext(ctx, "carp-instance", "x"), "/carp.v1.Callback/call",
			new(carpv1.ReleaseRequest), new(carpv1.ReleaseResponse))
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("a callback: %v", err)
		}
	}
	// Who may link may release, and still not call.
	allowed, cancel := context.WithCancel(metadata.AppendToOutgoingContext(testContext(t), "ticket", "1"))
	defer cancel()
	stream, err := peers.Link(allowed)
	if err != nil {
		t.Fatal(err)
	}
	p := rawPeer{t, stream}
	p.send(&carpv1.Frame{Kind: &carpv1.Frame_Hello{Hello: helloOf("id", "nonce")}})
	hello := p.upTo(func(f *carpv1.Frame) bool { return f.GetHello() != nil }).GetHello()
	ours := metadata.AppendToOutgoingContext(testContext(t), "carp-session", hello.GetSession())
	if err := release(ours); err != nil {
		t.Errorf("Release with a link: %v", err)
	}
	_, _, err = c.call(ours, "/f/call", tag{metadata: "msgpack"}, nil)
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a call with a link: %v", err)
	}
}

// Metadata that starts with "carp-" is the contract's: what it doesn't have is
// refused, of any client and over the frames of links, and what it has is not shown.
func TestReservedMetadata(t *testing.T) {
	leak.Check(t)
	shown := make(chan metadata.MD, 2)
	h := newHost(t, "h", host.WithAuthorizer(func(_ context.Context, a *host.Access) error {
		if a.Action == host.ActionCall {
			shown <- a.Metadata
		}
		return nil
	}))
	defer h.Close()
	export(t, h, "f", func(ctx context.Context) {
		md, _ := metadata.FromIncomingContext(ctx)
		shown <- md
	})
	s := newSession(t, h)
	if _, _, err := s.call(s.in("mine", "1"), "/f/call", tag{metadata: "msgpack"}, nil); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"the authorizer", "the function"} {
		md := receive(t, shown, who)
		if got := md.Get("mine"); len(got) != 1 {
			t.Errorf("%s sees %v", who, md)
		}
		for key := range md {
			if strings.HasPrefix(key, "carp-") {
				t.Errorf("%s sees %s", who, key)
			}
		}
	}
	for _, key := range []string{"carp-x", "carp-exception", "carp-refused", "CARP-Y-bin"} {
		_, trailer, err := s.call(s.in(key, "1"), "/f/call", tag{metadata: "msgpack"}, nil)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "is reserved") {
			t.Errorf("%s: %v", key, err)
		}
		if got := trailer.Get("carp-exception"); len(got) != 1 || got[0] != "carp.HostError" {
			t.Errorf("%s: the exception is %q", key, got)
		}
	}
	p := newRawPeer(t, h, helloOf("id", "nonce"))
	p.announce(full(1))
	p.send(&carpv1.Frame{Id: 1, Kind: &carpv1.Frame_Call{Call: &carpv1.Call{
		Method: "/f/call", Codec: "msgpack", Metadata: []*carpv1.Metadata{{Key: "Carp-Session", Value: []byte(s.id)}},
	}}})
	reply := p.upTo(func(f *carpv1.Frame) bool { return f.GetReply() != nil }).GetReply()
	if codes.Code(reply.GetCode()) != codes.InvalidArgument || !strings.Contains(reply.GetMessage(), "carp-session") {
		t.Errorf("over a link: %v", reply)
	}
	if len(shown) > 0 {
		t.Error("a call that was refused has come to somebody")
	}
}

// A class is a service to those who have only protobuf: its constructor returns a
// reference, with which its methods are called.
func TestReflectionOfClasses(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	defer h.Close()
	closed, _ := exportCounter(t, h)
	s := newSession(t, h)
	r := newReflector(t, s.conn)
	if names := r.list(); !slices.Contains(names, "Counter") {
		t.Errorf("reflection lists %v", names)
	}
	sd := r.describe("Counter")
	for _, name := range []string{"call", "Add", "Merge", "Self", "Same", "Wait", "Max"} {
		if sd.Methods().ByName(protoreflect.Name(name)) == nil {
			t.Errorf("reflection has no method %s", name)
		}
	}
	if sd.Methods().ByName("Close") != nil {
		t.Error("reflection has Close")
	}
	invoke := func(ctx context.Context, method, field string, v any) protoreflect.Value {
		t.Helper()
		md := sd.Methods().ByName(protoreflect.Name(method))
		in, out := dynamicpb.NewMessage(md.Input()), dynamicpb.NewMessage(md.Output())
		in.Set(md.Input().Fields().ByName(protoreflect.Name(field)), protoreflect.ValueOf(v))
		if err := s.conn.Invoke(ctx, "/Counter/"+method, in, out); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		return out.Get(md.Output().Fields().ByName("result"))
	}
	ref := invoke(s.in(), "call", "start", int64(5)).Message()
	id := ref.Get(ref.Descriptor().Fields().ByName("id")).String()
	mine := s.in("carp-instance", id)
	if got := invoke(mine, "Add", "arg0", int64(2)).Int(); got != 7 {
		t.Errorf("Add = %d", got)
	}
	if same := invoke(mine, "Same", "arg0", ref); !same.Bool() {
		t.Error("the object is not the same as itself")
	}
	source, err := h.ProtoSource("Counter")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(slices.Collect(maps.Values(source)), "")
	for _, want := range []string{"rpc call", "rpc Add", "rpc Merge", "carp.v1.Ref"} {
		if !strings.Contains(text, want) {
			t.Errorf("the .proto lacks %q:\n%s", want, text)
		}
	}
	s.end()
	receive(t, closed, "the object's end")
}
