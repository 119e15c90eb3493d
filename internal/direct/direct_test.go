package direct_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/carp-rpc/carp-go/internal/direct"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// methods serves by name.
type methods map[string]*direct.Method

func (m methods) Method(r *direct.Request) *direct.Method { return m[r.Method] }

const large = 1 << 30

// echoes answers with what it gets.
func echoes() methods {
	ctx := context.Background()
	return methods{
		"/unary": {Unary: true, MaxRecv: large, Serve: func(s *direct.Stream) {
			m, err := s.Recv(ctx)
			if err != nil {
				s.Finish(ctx, nil, direct.Answer{}, &direct.Trailer{Code: codes.Internal, Message: err.Error()})
				return
			}
			defer m.Free()
			s.Finish(ctx, nil, direct.Answer{Set: true, Data: m.Bytes()}, &direct.Trailer{MD: s.Request().Metadata()})
		}},
		"/stream": {MaxRecv: large, Serve: func(s *direct.Stream) {
			for {
				m, err := s.Recv(ctx)
				if errors.Is(err, io.EOF) {
					s.Finish(ctx, nil, direct.Answer{}, &direct.Trailer{})
					return
				}
				if err != nil {
					return
				}
				err = s.Send(ctx, m.Bytes(), false, false)
				m.Free()
				if err != nil {
					return
				}
			}
		}},
	}
}

func call(ctx context.Context, c *direct.Conn, data []byte) ([]byte, error) {
	req := &direct.Request{Method: "/unary", MD: metadata.Pairs("k", "v")}
	s, err := c.Open(ctx, req, &direct.OpenOptions{Unary: true, MaxRecv: large, Message: data})
	if err != nil {
		return nil, err
	}
	m, err := s.Recv(ctx)
	if err != nil {
		s.Cancel(err)
		return nil, err
	}
	got := bytes.Clone(m.Bytes())
	m.Free()
	if _, err := s.Recv(ctx); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("after the answer: %w", err)
	}
	t, _ := s.Trailer()
	if v := t.MD.Get("k"); len(v) != 1 || v[0] != "v" {
		return nil, fmt.Errorf("metadata came back as %v", t.MD)
	}
	s.Release()
	return got, nil
}

func payload(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, seed))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestUnarySizes(t *testing.T) {
	for _, ring := range []int{4 << 10, 64 << 10, 256 << 10} {
		t.Run(fmt.Sprint(ring), func(t *testing.T) {
			leak.Check(t)
			c, _ := pair(t, ring, direct.Options{Spin: 50 * time.Microsecond}, direct.Options{Spin: 50 * time.Microsecond, Handler: echoes()})
			for _, n := range []int{0, 1, 15, 16, 17, 64, 400, 1000, 4096, 16384, 65536, 70000, 1 << 20, 20 << 20} {
				want := payload(n, uint64(n))
				got, err := call(t.Context(), c, want)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes: got %d back, %v", n, len(got), err)
				}
			}
		})
	}
}

func TestManyCallers(t *testing.T) {
	leak.Check(t)
	for _, spin := range []time.Duration{0, 50 * time.Microsecond} {
		t.Run(spin.String(), func(t *testing.T) {
			c, _ := pair(t, 64<<10, direct.Options{Spin: spin}, direct.Options{Spin: spin, Handler: echoes()})
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					for j := range 200 {
						want := payload((i*31+j*7)%3000, uint64(i<<16|j))
						got, err := call(t.Context(), c, want)
						if err != nil || !bytes.Equal(got, want) {
							t.Errorf("caller %d, call %d: got %d back, %v", i, j, len(got), err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestStreamEcho(t *testing.T) {
	leak.Check(t)
	c, _ := pair(t, 64<<10, direct.Options{Spin: 50 * time.Microsecond}, direct.Options{Spin: 50 * time.Microsecond, Handler: echoes()})
	ctx := t.Context()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, err := c.Open(ctx, &direct.Request{Method: "/stream"}, &direct.OpenOptions{MaxRecv: large})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Release()
			sent := make(chan error, 1)
			go func() {
				for j := range 300 {
					if err := s.Send(ctx, payload((i+j*j)%5000, uint64(j)), false, false); err != nil {
						sent <- err
						return
					}
				}
				sent <- s.CloseSend(ctx)
			}()
			for j := range 300 {
				m, err := s.Recv(ctx)
				if err != nil || !bytes.Equal(m.Bytes(), payload((i+j*j)%5000, uint64(j))) {
					t.Errorf("stream %d, message %d: %v", i, j, err)
					return
				}
				m.Free()
			}
			if _, err := s.Recv(ctx); !errors.Is(err, io.EOF) {
				t.Errorf("stream %d: %v at the end", i, err)
			}
			if err := <-sent; err != nil {
				t.Errorf("stream %d: send: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func BenchmarkUnary(b *testing.B) {
	for _, spin := range []time.Duration{0, 50 * time.Microsecond} {
		b.Run(spin.String(), func(b *testing.B) {
			c, _ := pair(b, 256<<10, direct.Options{Spin: spin}, direct.Options{Spin: spin, Handler: echoes()})
			b.ReportAllocs()
			data := payload(64, 1)
			for b.Loop() {
				if _, err := call(b.Context(), c, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
