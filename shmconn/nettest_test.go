package shmconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/shmconn"
)

var _ = role("relay", relay)

// variant is one way to make connections.
type variant struct {
	name  string
	cfg   shmconn.Config
	procs int
}

// variants are every backing with every waiting mode, ring sizes from the smallest
// to 16 MiB, and GOMAXPROCS of 1, 2 and 8. Without CARP_SOAK=1, which `make soak`
// sets, they are a few in which each of the values occurs.
func variants() (all []variant) {
	backings := []shmconn.Backing{shmconn.MemFD, shmconn.SysV}
	rings := []int{4 << 10, 64 << 10, 1 << 20, 16 << 20}
	waits := map[string]shmconn.Wait{"balanced": shmconn.Balanced, "latency": shmconn.LatencyFirst, "power": shmconn.PowerFirst}
	procs := []int{1, 2, 8}
	add := func(b shmconn.Backing, ring int, wait string, p int) {
		all = append(all, variant{
			fmt.Sprintf("%v/%d/%s/%d", b, ring, wait, p),
			shmconn.Config{Backings: []shmconn.Backing{b}, RingSize: ring, MaxRingSize: ring, Wait: waits[wait]}, p,
		})
	}
	if os.Getenv("CARP_SOAK") != "1" {
		add(shmconn.MemFD, 4<<10, "balanced", 2)
		add(shmconn.SysV, 64<<10, "latency", 8)
		add(shmconn.MemFD, 1<<20, "latency", 1)
		add(shmconn.SysV, 16<<20, "power", 2)
		return all
	}
	for _, b := range backings {
		for _, ring := range rings {
			for wait := range waits {
				for _, p := range procs {
					add(b, ring, wait, p)
				}
			}
		}
	}
	return all
}

func (v variant) run(t *testing.T, makePipe func(t *testing.T, cfg *shmconn.Config) nettest.MakePipe) {
	t.Run(v.name, func(t *testing.T) {
		leak.Check(t)
		before := runtime.GOMAXPROCS(v.procs)
		defer runtime.GOMAXPROCS(before)
		nettest.TestConn(t, makePipe(t, &v.cfg))
	})
}

func TestNetConn(t *testing.T) {
	for _, v := range variants() {
		v.run(t, func(_ *testing.T, cfg *shmconn.Config) nettest.MakePipe {
			return func() (c1, c2 net.Conn, stop func(), err error) {
				a, b, err := shmconn.Pipe(cfg)
				if err != nil {
					return nil, nil, nil, err
				}
				return a, b, func() { _ = a.Close(); _ = b.Close() }, nil
			}
		})
	}
}

// TestNetConnAcrossProcesses has another process between the two ends, which passes
// on what it gets: each end has a peer that shares nothing with it but the segment.
func TestNetConnAcrossProcesses(t *testing.T) {
	for _, v := range variants() {
		v.run(t, func(t *testing.T, cfg *shmconn.Config) nettest.MakePipe {
			front, back := sockPath(t), sockPath(t)
			child := testproc.Start(t, "relay", front, back, fmt.Sprint(v.procs), fmt.Sprint(int(cfg.Wait)))
			child.ReadLine()
			l := listen(t, back, cfg)
			return func() (c1, c2 net.Conn, stop func(), err error) {
				c1, err = shmconn.Dial(context.Background(), front, cfg)
				if err != nil {
					return nil, nil, nil, err
				}
				c2, err = l.Accept()
				if err != nil {
					_ = c1.Close()
					return nil, nil, nil, err
				}
				return c1, c2, func() { _ = c1.Close(); _ = c2.Close() }, nil
			}
		})
	}
}

// relay listens at its first argument, and connects what it accepts with its second.
func relay(c *testproc.Child) error {
	var procs, wait int
	if _, err := fmt.Sscan(c.Args[2]+" "+c.Args[3], &procs, &wait); err != nil {
		return err
	}
	runtime.GOMAXPROCS(procs)
	cfg := &shmconn.Config{RingSize: 4 << 10, Wait: shmconn.Wait(wait)}
	l, err := shmconn.Listen(c.Args[0], cfg)
	if err != nil {
		return err
	}
	c.Ready("listening")
	go func() {
		_, _ = c.In.ReadString(0) // until the parent is gone
		l.Close()
	}()
	for {
		front, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		back, err := shmconn.Dial(context.Background(), c.Args[1], cfg)
		if err != nil {
			front.Close()
			return err
		}
		go pass(front.(*shmconn.Conn), back)
		go pass(back, front.(*shmconn.Conn))
	}
}

// pass copies until from ends, and then ends to.
func pass(to, from *shmconn.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		from.Close()
		to.Close()
		return
	}
	to.CloseWrite()
}
