package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/host/internal/link"
	"github.com/carp-rpc/carp-go/internal/bothways"
)

// Connect links this host with the one that serves target, and returns when each
// knows what the other exports. Either end may then call the other. Ctx bounds
// Connect only.
//
// When the link is lost, the host dials again until there is one, with the waits
// of [WithReconnect]; each is a new [Link], and both ends announce their exports
// anew. What was required stays valid. It ends with the Close of a link, at
// either end, or of the host.
//
// Two links with the same host count as one provider: calls take the first, and
// the other when that is lost.
func (h *Host) Connect(ctx context.Context, target string) (*Link, error) {
	d := &dialled{host: h, target: target, over: make(chan struct{})}
	l, err := d.connect(ctx)
	if err != nil {
		d.giveUp()
		return nil, fmt.Errorf("host %q: connect to %s: %w", h.label, target, err)
	}
	return l, nil
}

// dialled is a target that a host keeps a link with.
type dialled struct {
	host   *Host
	target string
	plain  *plainServer  // if there is no host at the target
	over   chan struct{} // closed when the link isn't wanted any more
	once   sync.Once

	mu      sync.Mutex
	current *Link // that stands
	since   time.Time
	retries int
}

// giveUp ends the wish for a link.
func (d *dialled) giveUp() { d.once.Do(func() { close(d.over) }) }

// connect makes a link that stands.
func (d *dialled) connect(ctx context.Context) (*Link, error) {
	h := d.host
	if err := h.usable(); err != nil {
		return nil, err
	}
	l := &Link{host: h, target: d.target, dial: d}
	h.status(Status{State: Connecting, Target: d.target})
	if err := d.open(ctx, l); err != nil {
		return nil, err
	}
	select {
	case <-l.announced:
	case <-l.frames.Done():
		if err := l.Err(); status.Code(err) == codes.Unimplemented {
			return nil, fmt.Errorf("there is a gRPC server that is no carp host, see Host.ConnectServer: %w", err)
		}
		return nil, l.Err()
	case <-ctx.Done():
		l.frames.Close(errClosedHere)
		return nil, fmt.Errorf("the peer has not said what it exports: %w", ctx.Err())
	}
	// The answer comes when the peer has heard what this end exports: a call
	// that goes beside the link might overtake that.
	if err := l.frames.Ping(ctx); err != nil {
		l.frames.Close(errClosedHere)
		return nil, fmt.Errorf("the peer has not heard what this host exports: %w", err)
	}
	if err := d.settle(l); err != nil {
		return nil, err
	}
	h.linkedUp(l)
	h.log.Debug("linked with a host", "peer", l.PeerLabel(), "target", d.target)
	return l, nil
}

// settle makes a link the one that stands.
func (d *dialled) settle(l *Link) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := l.Err(); err != nil {
		return err
	}
	d.current, d.since = l, time.Now()
	return nil
}

// open dials and opens the stream of a link.
func (d *dialled) open(ctx context.Context, l *Link) error {
	if d.plain != nil {
		return d.openPlain(ctx, l)
	}
	var err error
	l.server = d.host.newServer(l)
	if l.conn, err = d.host.dial(d.target, bothways.Serve(l.server).(carpgrpc.ClientOption)); err != nil {
		l.server.Stop()
		return err
	}
	l.beside = newBesideConn(l.conn)
	l.grpc = l.beside
	if err = d.host.openLink(ctx, l); err != nil {
		l.closeConn()
	}
	return err
}

func (l *Link) closeConn() {
	l.conn.Close()
	if l.server != nil {
		l.server.Stop()
	}
}

// answerTime is how long answers may be under way when a link has ended in order.
const answerTime = 30 * time.Second

// closeConnLater closes the connection of a link whose peer has left in order: its
// answers to the last calls may come after the end of the link. The peer closes the
// connection when it has handed them over, or wants to wait no longer.
func (l *Link) closeConnLater() {
	timeout := time.NewTimer(answerTime)
	defer timeout.Stop()
	select {
	case <-l.beside.idle():
	case <-timeout.C:
	case <-l.host.ctx.Done():
	}
	l.closeConn()
}

// ended is told that a link has ended and is cleared up, and sees to it that
// there is another.
func (d *dialled) ended(l *Link) {
	d.mu.Lock()
	lost := d.current == l
	if lost {
		d.current = nil
		if time.Since(d.since) > d.host.reconnect.MaxDelay {
			d.retries = 0
		}
	}
	d.mu.Unlock()
	if !lost || d.host.once || errors.Is(l.Err(), link.ErrEnded) {
		return
	}
	d.host.spawn(d.again)
}

// again dials until there is a link, or nobody wants it.
func (d *dialled) again() {
	ctx, cancel := context.WithCancel(d.host.ctx)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-d.over:
			cancel()
		case <-stop:
		}
	}()
	for {
		if !sleep(ctx, backoffDelay(d.host.reconnect, d.retries)) {
			return
		}
		d.retries++
		l, err := d.try(ctx)
		if err == nil {
			select {
			case <-d.over: // meanwhile
				l.frames.Close(errClosedHere)
			default:
			}
			return
		}
		if ctx.Err() == nil {
			d.host.status(Status{State: Waiting, Target: d.target, Err: err})
			d.host.log.Debug("linking again has failed", "target", d.target, "err", err)
		}
	}
}

// attemptTimeout bounds one attempt to link again.
const attemptTimeout = 20 * time.Second

func (d *dialled) try(ctx context.Context) (*Link, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return d.connect(ctx)
}

// backoffDelay is the wait after a number of failures, as gRPC reckons it.
func backoffDelay(c backoff.Config, retries int) time.Duration {
	d := math.Min(float64(c.BaseDelay)*math.Pow(max(c.Multiplier, 1), float64(retries)), float64(c.MaxDelay))
	d *= 1 + c.Jitter*(2*rand.Float64()-1) //nolint:gosec // spreads load, guards nothing
	return time.Duration(max(d, 0))
}

// dial prepares the connection, which is made when the link's stream is opened.
func (h *Host) dial(target string, opts ...carpgrpc.ClientOption) (*carpgrpc.ClientConn, error) {
	return carpgrpc.NewClient(target, append(opts,
		carpgrpc.WithTransportCredentials(h.transport.TCP),
		carpgrpc.WithShm(h.transport.Shm),
		carpgrpc.AllowPeer(h.transport.Allow),
		carpgrpc.Logger(h.log),
	)...)
}

// openLink opens the stream of a link. The stream lives as long as the link, but
// ctx bounds the opening.
func (h *Host) openLink(ctx context.Context, l *Link) error {
	streamCtx, cancel := context.WithCancel(h.ctx)
	stop := context.AfterFunc(ctx, cancel)
	stream, err := carpv1.NewPeerClient(l.conn).Link(streamCtx)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return errors.Join(err, ctx.Err())
	}
	l.peer, _ = peer.FromContext(stream.Context())
	if err := h.startLink(stream, l, cancel); err != nil {
		cancel()
		return err
	}
	return nil
}
