package direct

import (
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// rawPeer is the other end of a connection, with its hands on the rings: it can write
// what no Conn would. It is for one goroutine at a time.
type rawPeer struct {
	tb   testing.TB
	c    *Conn
	s    *shm.Session
	w    writing
	next uint32 // slot of the next request
}

// raw is a connection of this package, and its peer. The connection is the dialler's or the
// listener's end alike; only opt makes it a server.
func raw(tb testing.TB, ring int, opt Options) (*Conn, *rawPeer) {
	tb.Helper()
	a, b := rawSessions(tb, ring)
	c, err := New(a, opt)
	if err != nil {
		tb.Fatal(err)
	}
	if !b.Acquire() {
		tb.Fatal("the peer's session is closed")
	}
	p := &rawPeer{tb: tb, c: c, s: b}
	p.w.init(b.TX(), 0, new(atomic.Bool))
	tb.Cleanup(func() {
		c.Close()
		b.Release()
		b.Close()
		p.await("the connection to be gone", c.Gone())
	})
	return c, p
}

func rawSessions(tb testing.TB, ring int) (a, b *shm.Session) {
	tb.Helper()
	path := tb.TempDir() + "/s"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	opt := &shm.Options{Ring: ring, RingLimit: ring, Backings: shm.Of(shm.MemFD)}
	accepted := make(chan error, 1)
	go func() {
		conn, err := l.AcceptUnix()
		if err == nil {
			b, err = shm.Accept(conn, opt)
		}
		accepted <- err
	}()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		tb.Fatal(err)
	}
	a, err = shm.Connect(conn, opt)
	if err := errors.Join(err, <-accepted); err != nil {
		tb.Fatal(err)
	}
	return a, b
}

// await fails the test if it waits for too long.
func (p *rawPeer) await(what string, done <-chan struct{}) {
	p.tb.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		p.tb.Fatalf("waited %v for %s\n%s", patience, what, stacks())
	}
}

func stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}

// until polls for what nobody announces to the peer.
func (p *rawPeer) until(what string, ok func() bool) {
	p.tb.Helper()
	for end := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			p.tb.Fatalf("waited %v for %s\n%s", patience, what, stacks())
		}
	}
}

// ring wakes the connection if it sleeps.
func (p *rawPeer) ring() {
	if p.s.TX().NeedWake() {
		p.s.Ring()
	}
}

// frame writes a frame as a well-behaved peer does.
func (p *rawPeer) frame(h header, payload []byte) {
	p.tb.Helper()
	p.until("room in the ring", func() bool {
		if err := p.c.Err(); err != nil {
			p.tb.Fatalf("the connection ended: %v", err)
		}
		return p.try(h, payload)
	})
}

func (p *rawPeer) try(h header, payload []byte) bool {
	ok, err := p.w.put(h, payload, nil, 0)
	if err != nil {
		p.tb.Fatal(err)
	}
	if ok {
		p.ring()
	}
	return ok
}

// control writes a control frame.
func (p *rawPeer) control(k kind, f flags, stream, value uint64) {
	p.tb.Helper()
	p.frame(header{kind: k, flags: f, stream: stream}, binary.LittleEndian.AppendUint64(nil, value))
}

// request opens a stream with a message in the same frame.
func (p *rawPeer) request(method string, f flags, message []byte) (id uint64) {
	p.tb.Helper()
	id = 1<<32 | uint64(p.next)
	p.next++
	p.frame(header{kind: kindRequest, flags: f, stream: id}, requestBlock(&Request{Method: method}, message))
	return id
}

func requestBlock(r *Request, message []byte) []byte {
	return append(appendBlock(nil, r.append), message...)
}

// bytes writes bytes that are no frame, perhaps.
func (p *rawPeer) bytes(b []byte) {
	p.tb.Helper()
	for len(b) > 0 && p.c.Err() == nil {
		n, err := p.s.TX().Write(b)
		if err != nil {
			p.tb.Fatal(err)
		}
		b = b[n:]
		p.ring()
		if n == 0 {
			runtime.Gosched()
		}
	}
}

// received is a frame that the connection sent.
type received struct {
	header
	payload []byte
}

func (r received) value() uint64 { return binary.LittleEndian.Uint64(r.payload) }

// poll takes a frame off the ring, if there is one.
func (p *rawPeer) poll() (received, bool) {
	p.tb.Helper()
	rx := p.s.RX()
	for {
		n, err := rx.Len(headerSize)
		if err != nil {
			p.tb.Fatal(err)
		}
		if n == 0 {
			return received{}, false
		}
		head, _ := rx.Bytes(headerSize)
		h, err := parseHeader(head, n, maxPayload(rx.Cap()))
		if err != nil {
			p.tb.Fatal(err)
		}
		if h.kind == kindPad {
			a, _ := rx.Bytes(n)
			p.consume(len(a))
			continue
		}
		whole, _ := rx.Bytes(headerSize + h.length)
		f := received{h, append([]byte{}, whole[headerSize:]...)}
		p.consume(frameSize(h.length))
		return f, true
	}
}

func (p *rawPeer) consume(n int) {
	p.s.RX().Consume(n)
	if p.s.RX().NeedWake() {
		p.s.Ring()
	}
}

// receive waits for a frame of a kind; others are dropped.
func (p *rawPeer) receive(k kind) (f received) {
	p.tb.Helper()
	p.until("a frame", func() bool {
		var ok bool
		f, ok = p.poll()
		return ok && f.kind == k
	})
	return f
}

// ended waits for the end of c and wants the peer to be blamed.
func (p *rawPeer) ended(c *Conn) {
	p.tb.Helper()
	p.await("the connection's end", c.Done())
	if !errors.Is(c.Err(), ErrProtocol) {
		p.tb.Fatalf("the connection ended with %v, want ErrProtocol", c.Err())
	}
}

// alive wants c to answer a ping: it has read all that was sent before.
func (p *rawPeer) alive(c *Conn) {
	p.tb.Helper()
	const mark = 0x6d61726b
	p.control(kindPing, 0, 0, mark)
	p.until("the answer to a ping", func() bool {
		if err := c.Err(); err != nil {
			p.tb.Fatalf("the connection ended: %v", err)
		}
		f, ok := p.poll()
		return ok && f.kind == kindPong && f.value() == mark
	})
}

// serving is a handler with one method for all.
type serving struct{ m *Method }

func (s serving) Method(*Request) *Method { return s.m }

func serve(unary bool, f func(*Stream)) Handler {
	return serving{&Method{Unary: unary, MaxRecv: 1 << 30, Serve: f}}
}
