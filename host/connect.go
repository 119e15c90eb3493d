package host

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/peer"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/carpgrpc"
)

// Connect links this host with the one that serves target, and returns when each
// knows what the other exports. Either end may then call the other. Ctx bounds
// Connect only; the link stands until either end closes it or is gone.
func (h *Host) Connect(ctx context.Context, target string) (*Link, error) {
	l, err := h.connect(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("host %q: connect to %s: %w", h.label, target, err)
	}
	h.log.Debug("linked with a host", "peer", l.PeerLabel(), "target", target)
	return l, nil
}

func (h *Host) connect(ctx context.Context, target string) (*Link, error) {
	if err := h.usable(); err != nil {
		return nil, err
	}
	conn, err := h.dial(target)
	if err != nil {
		return nil, err
	}
	l := &Link{conn: conn, target: target}
	if err := h.openLink(ctx, l); err != nil {
		conn.Close()
		return nil, err
	}
	select {
	case <-l.announced:
		return l, nil
	case <-l.Done():
		return nil, l.Err()
	case <-ctx.Done():
		_ = l.Close() // never fails
		return nil, fmt.Errorf("the peer has not said what it exports: %w", ctx.Err())
	}
}

// dial prepares the connection, which is made when the link's stream is opened.
func (h *Host) dial(target string) (*carpgrpc.ClientConn, error) {
	return carpgrpc.NewClient(target,
		carpgrpc.WithTransportCredentials(h.transport.TCP),
		carpgrpc.WithShm(h.transport.Shm),
		carpgrpc.AllowPeer(h.transport.Allow),
		carpgrpc.Logger(h.log),
	)
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
