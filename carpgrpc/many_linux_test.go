package carpgrpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

// Connections of each of the processes of TestManyConnections, and callers of each connection.
const (
	manyProcesses = 4
	manyConns     = 16
	manyCallers   = 4
)

// busyTime is how long they are busy; each caller makes one round at least.
func busyTime() time.Duration {
	if os.Getenv("CARP_SOAK") == "1" {
		return 12 * time.Second
	}
	return 0
}

// 64 connections of four processes are busy at once with all kinds of calls, on all of them at
// a time. Each caller gets the answers to its own calls, and a process that dies takes nobody
// with it. With CARP_SOAK=1 that goes on for a while.
func TestManyConnections(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	serveHandlers(t, handlers{}, lis)
	victim := testproc.Start(t, "many", target, time.Hour.String())
	victim.ReadLine() // it is busy
	children := make([]*testproc.Proc, manyProcesses)
	for i := range children {
		children[i] = testproc.Start(t, "many", target, busyTime().String())
	}
	for _, child := range children {
		child.ReadLine()
	}
	kill(t, victim)
	total := 0
	for _, child := range children {
		line := child.ReadLine()
		for line == stillBusy {
			line = child.ReadLine()
		}
		calls, err := strconv.Atoi(line)
		if err != nil {
			t.Fatalf("a process says %q", line)
		}
		total += calls
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d calls on %d connections", total, manyProcesses*manyConns)
	_, c := directClient(t, target)
	if err := unary(t.Context(), c, 10); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// stillBusy is what the processes say every now and then.
const stillBusy = "busy"

// manyRole is a process with many busy connections to the target in its arguments. It writes a
// line when all of them are connected, and how many calls there were in the end.
func manyRole(c *testproc.Child) error {
	busy, err := time.ParseDuration(c.Args[1])
	if err != nil {
		return err
	}
	clients := make([]pb.TestServiceClient, manyConns)
	for i := range clients {
		cc, err := carpgrpc.NewClient(c.Args[0], carpgrpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer cc.Close()
		clients[i] = pb.NewTestServiceClient(cc)
		if err := callEmpty(context.Background(), clients[i]); err != nil {
			return err
		}
		if got := cc.Transport(); got != carpgrpc.Direct {
			return fmt.Errorf("the transport is %q", got)
		}
	}
	c.Ready("connected")
	var calls atomic.Int64
	errs := make([]error, manyConns*manyCallers)
	go func() { // so that nobody loses patience
		for range time.Tick(5 * time.Second) {
			c.Ready(stillBusy)
		}
	}()
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			who := fmt.Appendf(nil, "caller %d of process %d", i, os.Getpid())
			for begin := time.Now(); ; {
				if errs[i] = round(clients[i%manyConns], who, &calls); errs[i] != nil || time.Since(begin) > busy {
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.Ready("%d", calls.Load())
	return nil
}

// round makes one call of each kind.
func round(c pb.TestServiceClient, who []byte, calls *atomic.Int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for _, size := range []int{0, 1 << 10, 300 << 10} {
		b := append(bytes.Clone(who), make([]byte, size)...)
		r, err := c.UnaryCall(ctx, &request{Payload: body(b)})
		if err != nil {
			return err
		}
		if !bytes.Equal(r.GetPayload().GetBody(), b) {
			return fmt.Errorf("%s got somebody else's answer", who)
		}
	}
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for i := range 10 {
		b := fmt.Appendf(nil, "%s, message %d", who, i)
		if err := s.Send(&pb.StreamingOutputCallRequest{Payload: body(b)}); err != nil {
			return err
		}
		m, err := s.Recv()
		if err != nil {
			return err
		}
		if !bytes.Equal(m.GetPayload().GetBody(), b) {
			return fmt.Errorf("%s got somebody else's message", who)
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the end of a stream: %w", err)
	}
	ctx, giveUp := context.WithCancel(ctx)
	if s, err = c.FullDuplexCall(ctx); err != nil {
		giveUp()
		return err
	}
	giveUp()
	if _, err := s.Recv(); status.Code(err) != codes.Canceled {
		return fmt.Errorf("a canceled stream: %w", err)
	}
	calls.Add(5)
	return nil
}
