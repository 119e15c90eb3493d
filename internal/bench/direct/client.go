package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/carp-rpc/carp-go/internal/bench"
)

// deadline is that of each call: far away, but there.
const deadline = 30 * time.Second

// withMetadata is the context of a call.
func withMetadata() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	return metadata.AppendToOutgoingContext(ctx, "bench-key", "some value"), cancel
}

// caller makes one call after the other. Each request differs from the one before.
type caller struct {
	stub testgrpc.BenchmarkServiceClient
	req  *testgrpc.SimpleRequest
	seq  uint64
	next time.Time // of a paced call

	pingpong grpc.BidiStreamingClient[testgrpc.SimpleRequest, testgrpc.SimpleResponse]
	download grpc.ServerStreamingClient[testgrpc.SimpleResponse]
	cancel   context.CancelFunc // of the stream
}

func newCaller(cc conn, size, i int) *caller {
	body := make([]byte, size)
	seed := [32]byte{byte(i)}
	_, _ = rand.NewChaCha8(seed).Read(body)
	return &caller{
		stub: testgrpc.NewBenchmarkServiceClient(cc),
		req:  &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: body}},
	}
}

var errDiffers = errors.New("what came back differs from what was sent")

// number makes the request differ from the one before.
func (c *caller) number() {
	c.seq++
	binary.LittleEndian.PutUint64(c.req.Payload.Body, c.seq)
}

func (c *caller) check(res *testgrpc.SimpleResponse) error {
	if !bytes.Equal(res.GetPayload().GetBody(), c.req.Payload.Body) {
		return errDiffers
	}
	return nil
}

func (c *caller) unary() error {
	c.number()
	ctx, cancel := withMetadata()
	defer cancel()
	res, err := c.stub.UnaryCall(ctx, c.req)
	if err != nil {
		return err
	}
	return c.check(res)
}

// slow is a call that the handler of workMixed takes long for.
func (c *caller) slow() error {
	c.req.ResponseSize = slowMark
	defer func() { c.req.ResponseSize = 0 }()
	return c.unary()
}

// pace waits until the next call is due.
func (c *caller) pace() error {
	c.next = c.next.Add(time.Millisecond)
	if now := time.Now(); c.next.Before(now) {
		c.next = now
		return nil
	}
	time.Sleep(time.Until(c.next))
	return nil
}

func (c *caller) ping() error {
	c.number()
	if err := c.pingpong.Send(c.req); err != nil {
		return err
	}
	res, err := c.pingpong.Recv()
	if err != nil {
		return err
	}
	return c.check(res)
}

// batch is how many messages of a download are one operation: reading the clock for
// each would take as long as receiving it.
const batch = 64

func (c *caller) receive() error {
	for range batch {
		c.number()
		res, err := c.download.Recv()
		if err != nil {
			return err
		}
		if err := c.check(res); err != nil {
			return err
		}
	}
	return nil
}

// open opens the caller's stream, if what it does is done on one.
func (c *caller) open(kind string) (err error) {
	var ctx context.Context
	ctx, c.cancel = withMetadata()
	switch kind {
	case kindPingPong:
		c.pingpong, err = c.stub.StreamingCall(ctx)
	case kindDownload:
		c.download, err = c.stub.StreamingFromServer(ctx, c.req)
	}
	return err
}

// clients are the callers of a case and their connections.
type clients struct {
	conns   []conn
	callers []*caller
}

func (cs *clients) close() {
	for _, c := range cs.callers {
		c.cancel()
	}
	for _, cc := range cs.conns {
		_ = cc.Close()
	}
}

// dial adds a connection, and makes a call on it.
func (cs *clients) dial(c bench.Case) error {
	cc, err := dial(c)
	if err != nil {
		return err
	}
	cs.conns = append(cs.conns, cc)
	first := newCaller(cc, max(c.Size, 8), 0)
	if err := first.unary(); err != nil {
		return err
	}
	return check(c, cc)
}

func (cs *clients) connect(c bench.Case) error {
	n, kind := max(c.Callers, 1), c.Set[setKind]
	for i := range n {
		if i == 0 || kind == kindConns {
			if err := cs.dial(c); err != nil {
				return err
			}
		}
		caller := newCaller(cs.conns[len(cs.conns)-1], c.Size, i)
		if err := caller.open(kind); err != nil {
			return err
		}
		cs.callers = append(cs.callers, caller)
	}
	return nil
}

func connect(_ context.Context, c bench.Case) (bench.Load, error) {
	do, before, err := actions(c.Set[setKind])
	if err != nil {
		return bench.Load{}, err
	}
	cs := &clients{}
	if err := cs.connect(c); err != nil {
		cs.close()
		return bench.Load{}, err
	}
	load := bench.Load{Do: func(i int) error { return do(cs.callers[i]) }, Close: cs.close}
	if before != nil {
		load.Before = func(i int) error { return before(cs.callers[i]) }
	}
	return load, nil
}

type action func(*caller) error

func actions(kind string) (do, before action, err error) {
	switch kind {
	case kindUnary, kindConns:
		return (*caller).unary, nil, nil
	case kindPingPong:
		return (*caller).ping, nil, nil
	case kindDownload:
		return (*caller).receive, nil, nil
	case kindPaced:
		return (*caller).unary, (*caller).pace, nil
	case kindMixed:
		return (*caller).unary, (*caller).slow, nil
	default:
		return nil, nil, fmt.Errorf("unknown %s=%s", setKind, kind)
	}
}
