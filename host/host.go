package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/carpgrpc"
)

// ErrClosed is in the chain of the errors of a host that has been closed.
var ErrClosed = errors.New("the host is closed")

// A Host exports, requires and calls services. There is usually one in a
// process. Its methods may be called at any time by any goroutine.
type Host struct {
	label string
	id    string
	nonce []byte
	config

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup // everything that Close waits for

	exports *exports
	peers   *peers
	posted  chan struct{} // holds one for each one-way call that runs
	objects *objects
	local   *holdings // what this host itself holds of its objects
	classes sync.Map  // reflect.Type → *class
	proxies sync.Map  // proxyKey → []proxyMethod
	health  *health.Server
	counts  counters
	ended   struct{ closing, closed sync.Once } // what hooks are told of

	mu          sync.Mutex
	registerErr error
	servers     map[*carpgrpc.Server]struct{}
	closing     bool          // Shutdown or Close has begun: nothing new
	stopping    chan struct{} // closed when internal streams have to end
	stopOnce    sync.Once
	active      int // calls being served
	idle        chan struct{}
}

var (
	_ grpc.ServiceRegistrar          = (*Host)(nil)
	_ reflection.ServiceInfoProvider = (*Host)(nil)
)

// New makes a host. The label is for people: it is in logs and error texts, and
// need not be unique. A new host has no connections; see Listen, Serve and
// Connect.
func New(label string, opts ...Option) (*Host, error) {
	h := &Host{
		label:    label,
		config:   defaults(),
		servers:  make(map[*carpgrpc.Server]struct{}),
		stopping: make(chan struct{}),
	}
	for _, o := range opts {
		o.applyHost(&h.config)
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("host %q: %w", label, err)
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.log = h.log.With("host", label)
	if h.transport.Logger == nil {
		h.transport.Logger = h.log
	}
	id := randomBytes()
	h.id, h.nonce = hex.EncodeToString(id), randomBytes()
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.posted = make(chan struct{}, h.maxCalls)
	h.objects = &objects{host: h, instances: make(map[any]*object)}
	h.local = h.objects.newHoldings()
	h.peers = newPeers()
	h.exports = newExports(func(name string) { h.peers.wakeFor(name) })
	return h, h.serveInternal()
}

func randomBytes() []byte {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	return b
}

// Label is what New was given.
func (h *Host) Label() string { return h.label }

// ID is the host's identity among hosts: 32 hexadecimal digits, random.
func (h *Host) ID() string { return h.id }

// Links returns the links to other hosts, in no particular order.
func (h *Host) Links() []*Link {
	return slices.DeleteFunc(h.peers.all(), func(l *Link) bool {
		_, isHost := l.label()
		return !isHost
	})
}

// serveInternal registers what every host serves besides its exports. It is
// reached through the dispatcher like everything else.
func (h *Host) serveInternal() error {
	h.health = health.NewServer()
	r := &internalServices{host: h}
	carpv1.RegisterPeerServer(r, &peerServer{host: h})
	healthpb.RegisterHealthServer(r, h.health)
	opts := reflection.ServerOptions{Services: h, DescriptorResolver: descriptors{h.exports}}
	reflectionv1.RegisterServerReflectionServer(r, reflection.NewServerV1(opts))
	reflectionv1alpha.RegisterServerReflectionServer(r, reflection.NewServer(opts))
	return r.err
}

// internalServices registers services that are not announced.
type internalServices struct {
	host *Host
	err  error
}

func (r *internalServices) RegisterService(desc *grpc.ServiceDesc, impl any) {
	r.err = errors.Join(r.err, r.host.exportService(desc, impl, true))
}

// spawn runs f on a goroutine that Close waits for, unless it is too late.
func (h *Host) spawn(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.tasks.Go(f)
	return true
}

// begin counts a call in, unless the host is shutting down. Calls of internal
// streams, which last as long as their caller likes, are not counted.
func (h *Host) begin(e endpoint) bool {
	if isInternalStream(e) {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.active++
	return true
}

func (h *Host) end(e endpoint) {
	if isInternalStream(e) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active--
	if h.active == 0 && h.idle != nil {
		close(h.idle)
	}
}

func isInternalStream(e endpoint) bool {
	g, ok := e.(*generatedStream)
	return ok && g.internal
}

// usable returns why the host can't make or take connections, or nil.
func (h *Host) usable() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return ErrClosed
	}
	return h.registerErr
}

// Shutdown ends the host in good order:
//
//  1. peers are told that it takes no more calls ([Hooks].Leave), and make theirs
//     elsewhere; it takes none;
//  2. calls that peers have in flight here are awaited. The functions that run may
//     still call others;
//  3. the answers are handed over, and links are closed, which fails what this
//     host has in flight elsewhere;
//  4. the objects that others held are closed;
//  5. then, or when ctx is done, Close does the rest. Calls that are left then fail,
//     and their objects are closed when the functions that run on them return.
//
// The error is that of ctx if there were calls left.
func (h *Host) Shutdown(ctx context.Context) error {
	idle := h.refuseCalls()
	err := h.peers.goaway(ctx, fmt.Sprintf("host %q is shutting down", h.label))
	select {
	case <-idle:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		err = h.peers.drain(ctx)
	}
	if err == nil {
		h.stopStreams()
		err = h.drainServers(ctx)
	}
	return errors.Join(err, h.Close())
}

// refuseCalls lets no more calls in. It returns a channel that is closed when
// those that are being served have ended.
func (h *Host) refuseCalls() <-chan struct{} {
	h.health.Shutdown()
	h.statusOnce(&h.ended.closing, Closing)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closing = true
	if h.idle == nil {
		h.idle = make(chan struct{})
		if h.active == 0 {
			close(h.idle)
		}
	}
	return h.idle
}

// stopStreams ends the links, and the streams that clients keep open to watch.
func (h *Host) stopStreams() {
	h.peers.closeAll(ErrClosed)
	h.stopOnce.Do(func() { close(h.stopping) })
}

// drainServers lets the servers hand over what they have been given to send.
func (h *Host) drainServers(ctx context.Context) error {
	h.mu.Lock()
	servers := slices.Collect(maps.Keys(h.servers))
	h.mu.Unlock()
	for _, s := range servers {
		if !within(ctx, s.GracefulStop) {
			return ctx.Err() // Close stops the server, and so ends GracefulStop
		}
	}
	return nil
}

// within calls f, and reports whether it returned before ctx ended.
func within(ctx context.Context, f func()) bool {
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		f()
	}()
	select {
	case <-returned:
		return true
	case <-ctx.Done():
		return false
	}
}

// Close ends the host at once. Calls in flight fail with Unavailable at their
// callers, contexts of functions that run are cancelled, listeners and links are
// closed. Close returns when they are gone; it doesn't wait for exported
// functions that ignore their contexts. Closing again has no effect.
func (h *Host) Close() error {
	h.refuseCalls()
	h.mu.Lock()
	servers := h.servers
	h.servers = nil
	h.mu.Unlock()
	// In this order: a function that sees its context end must not be able to answer.
	h.stopStreams()
	for s := range servers {
		s.Stop()
	}
	h.cancel()
	h.tasks.Wait()
	h.local.close()
	h.statusOnce(&h.ended.closed, Closed)
	return nil
}
