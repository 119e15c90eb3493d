package direct

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// script is what a hostile peer does, as bytes. It never ends: it goes on with zeros.
type script struct{ b []byte }

func (s *script) done() bool { return len(s.b) == 0 }

func (s *script) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *script) uint(bytes int) (n uint64) {
	for range bytes {
		n = n<<8 | uint64(s.byte())
	}
	return n
}

func (s *script) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		if b[i] = s.byte(); s.done() {
			break
		}
	}
	return b
}

// rawFrame in place of a kind means bytes that need be no frame.
const rawFrame = 15

// frame is the next frame.
func (s *script) frame(most int) (header, []byte) {
	h := header{kind: kind(s.byte() & 15), flags: flags(s.byte())}
	if pick := s.byte(); pick < 0xc0 {
		h.stream = uint64(1+pick>>6)<<32 | uint64(pick&3) // a few, of two generations
	} else {
		h.stream = s.uint(8)
	}
	return h, s.payload(most)
}

// Forms of a payload.
const (
	formNone = iota
	formBytes
	formValue
	formRequest
	formTrailer
	formHeaderAndTrailer
	formMessage
	formMetadata
	forms
)

func (s *script) payload(most int) []byte {
	switch s.byte() % forms {
	case formBytes:
		return s.bytes(int(s.uint(2)) % (most + 32))
	case formValue:
		return binary.LittleEndian.AppendUint64(nil, s.value())
	case formRequest:
		r := &Request{Method: scriptMethods[int(s.byte())%len(scriptMethods)]}
		return append(appendBlock(nil, r.append), s.bytes(int(s.byte()))...)
	case formTrailer:
		return append(appendEnd(nil, nil, &Trailer{Code: codes.Code(s.byte())}), s.bytes(int(s.byte()))...)
	case formHeaderAndTrailer:
		return append(appendEnd(nil, metadata.MD{"k": {"v"}}, &Trailer{}), s.bytes(int(s.byte()))...)
	case formMessage:
		b := binary.AppendUvarint(nil, s.value())
		return append(b, s.bytes(int(s.uint(2))%most)...)
	case formMetadata:
		return appendMD(nil, metadata.MD{"k": {string(s.bytes(int(s.byte())))}})
	default:
		return nil
	}
}

// value is a number near one that means something.
func (s *script) value() uint64 {
	near := [...]uint64{0, 1, 64, firstWindow, maxWindow, poolSize, maxMessage, 1 << 32, 1 << 63}
	return near[int(s.byte())%len(near)] + uint64(int64(int8(s.byte())))
}

var scriptMethods = [...]string{"/echo", "/stream", "/deaf", "/shouts", "/gone"}

// scriptHandler serves them. Its handlers end when their streams do.
type scriptHandler map[string]*Method

func newScriptHandler() scriptHandler {
	return scriptHandler{
		"/echo": {Unary: true, MaxRecv: 1 << 20, Serve: func(s *Stream) {
			ctx, stop := contextOf(s)
			defer stop()
			m, err := s.Recv(ctx)
			if err != nil {
				s.Finish(ctx, nil, Answer{}, &Trailer{Code: codes.Unknown})
				return
			}
			s.Finish(ctx, metadata.MD{"h": {"v"}}, Answer{Set: true, Data: m.Bytes()}, &Trailer{})
			m.Free()
		}},
		"/stream": {MaxRecv: 32 << 20, Serve: func(s *Stream) {
			ctx, stop := contextOf(s)
			defer stop()
			for {
				m, err := s.Recv(ctx)
				if err == nil {
					err = s.Send(ctx, m.Bytes(), false, false)
					m.Free()
				}
				if err != nil {
					s.Finish(ctx, nil, Answer{}, &Trailer{})
					return
				}
			}
		}},
		"/deaf": {MaxRecv: 1 << 20, Serve: func(s *Stream) {
			ctx, stop := contextOf(s)
			defer stop()
			<-ctx.Done()
		}},
		"/shouts": {MaxRecv: 1 << 20, Serve: func(s *Stream) {
			ctx, stop := contextOf(s)
			defer stop()
			for range 4 {
				if s.Send(ctx, make([]byte, 50<<10), false, false) != nil {
					return
				}
			}
			s.Finish(ctx, nil, Answer{}, &Trailer{})
		}},
		"/gone": {Unary: true, MaxRecv: 100, Serve: func(*Stream) {}},
	}
}

func (h scriptHandler) Method(r *Request) *Method {
	if m := h[r.Method]; m != nil {
		return m
	}
	return h["/gone"]
}

// contextOf is a context that ends with the stream.
func contextOf(s *Stream) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	s.OnCancel(cancelFunc(cancel))
	return ctx, cancel
}

type cancelFunc context.CancelFunc

func (f cancelFunc) Canceled() { f() }

// play lets the peer do what the script says, and checks what may be left of c.
func (p *rawPeer) play(c *Conn, s *script, drain bool) {
	p.tb.Helper()
	for !s.done() && c.Err() == nil {
		h, payload := s.frame(p.w.most)
		put := func() bool { return c.Err() != nil || p.try(h, payload) }
		if h.kind == rawFrame {
			put = func() bool { p.bytes(payload); return true }
		}
		p.until("a live connection to read", func() bool {
			if drain {
				p.drain()
			}
			return put()
		})
		p.bounded(c)
	}
	if c.Err() == nil {
		p.settle(c)
	}
	if err := c.Err(); err != nil && !errors.Is(err, ErrProtocol) {
		p.tb.Fatalf("the connection ended with %v", err)
	}
}

func (p *rawPeer) drain() {
	for {
		if _, ok := p.poll(); !ok {
			return
		}
	}
}

// settle waits until c has read all that there is, or has ended.
func (p *rawPeer) settle(c *Conn) {
	const mark = 1 << 60
	put := false
	p.until("the answer to a ping", func() bool {
		if c.Err() != nil {
			return true
		}
		if !put {
			put = p.try(header{kind: kindPing}, binary.LittleEndian.AppendUint64(nil, mark))
		}
		f, ok := p.poll()
		return ok && f.kind == kindPong && f.value() == mark
	})
}

// bounded wants c to hold no more of messages and blocks than PROTOCOL.md says.
func (p *rawPeer) bounded(c *Conn) {
	p.tb.Helper()
	held, streams := holds(c)
	if most := streams*firstWindow + 2*poolSize + 32<<20; held > most {
		p.tb.Fatalf("%d bytes of messages are held, %d allowed", held, most)
	}
	if n := c.blocks.Load(); n < 0 || n > maxBlocks {
		p.tb.Fatalf("%d bytes of blocks are held", n)
	}
}

// holds is the bytes of messages that nobody has taken, and how many streams there are.
func holds(c *Conn) (bytes, streams int) {
	for _, s := range append(c.in.all(), c.out.all()...) {
		s.mu.Lock()
		for _, m := range s.inbox.queue {
			bytes += len(m.Bytes())
		}
		if s.inbox.part.buf != nil {
			bytes += len(*s.inbox.part.buf)
		}
		s.mu.Unlock()
		streams++
	}
	return bytes, streams
}

// bystander is a connection that has nothing to do with the hostile peer's.
func bystander(tb testing.TB) (check func(testing.TB)) {
	a, b := rawSessions(tb, 4<<10)
	srv, err := New(b, Options{Handler: newScriptHandler()})
	if err != nil {
		tb.Fatal(err)
	}
	c, err := New(a, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		c.Close()
		<-c.Gone()
		<-srv.Gone()
	})
	return func(tb testing.TB) {
		tb.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s, err := c.Open(ctx, &Request{Method: "/echo"}, &OpenOptions{Unary: true, MaxRecv: 100, Message: []byte("hello")})
		if err != nil {
			tb.Fatalf("another connection: %v", err)
		}
		m, err := s.Recv(ctx)
		if err != nil || string(m.Bytes()) != "hello" {
			tb.Fatalf("another connection: %q, %v", m.Bytes(), err)
		}
		m.Free()
		if _, err := s.Recv(ctx); !errors.Is(err, io.EOF) {
			tb.Fatalf("another connection: %v", err)
		}
	}
}

// hostile runs a script against a connection that serves and has calls under way.
func hostile(t *testing.T, plan []byte, check func(testing.TB)) {
	s := &script{plan}
	mode := s.byte()
	opt := Options{MaxHandlers: 8, Spin: time.Duration(mode&1) * 20 * time.Microsecond}
	if mode&2 != 0 {
		opt.Handler = newScriptHandler()
	}
	c, p := raw(t, 4<<10<<(mode>>2&3), opt)
	var calls sync.WaitGroup
	if mode&16 != 0 {
		callAll(c, &calls)
	}
	p.play(c, s, mode&32 == 0)
	check(t)
	c.Close()
	done := make(chan struct{})
	go func() { calls.Wait(); close(done) }()
	p.await("calls to end", done)
	p.await("the connection to be gone", c.Gone())
	p.until("handlers to end", func() bool { return c.handlers.Load() == 0 })
}

// callAll makes calls that are under way when frames come in: their streams have the numbers
// that scripts like to use.
func callAll(c *Conn, calls *sync.WaitGroup) {
	ctx := context.Background()
	opened := make(chan struct{})
	call := func(opt *OpenOptions, use func(s *Stream)) {
		calls.Go(func() {
			s, err := c.Open(ctx, &Request{Method: "/m"}, opt)
			opened <- struct{}{}
			if err != nil {
				return
			}
			use(s)
			s.Cancel(context.Canceled)
			s.Release()
		})
		<-opened // nobody makes room in the ring yet: the one that fills it comes last
	}
	receive := func(s *Stream) {
		for {
			m, err := s.Recv(ctx)
			if err != nil {
				return
			}
			m.Free()
		}
	}
	call(&OpenOptions{Unary: true, MaxRecv: 1 << 20, Message: []byte("question")}, receive)
	call(&OpenOptions{MaxRecv: 1 << 20}, func(s *Stream) {
		_, _ = s.Header(ctx)
		receive(s)
	})
	call(&OpenOptions{MaxRecv: 1 << 20}, func(s *Stream) {
		for s.Send(ctx, make([]byte, 30<<10), false, false) == nil {
		}
	})
}

// FuzzSession: whatever a peer writes, nothing panics or hangs, what is held is bounded, the
// connection lives or ends with ErrProtocol, and others don't notice.
func FuzzSession(f *testing.F) {
	for _, mode := range []byte{2, 3, 2 | 32, 16, 17, 16 | 2, 16 | 2 | 4 | 32} {
		for _, frames := range sessionSeeds {
			f.Add(append([]byte{mode}, frames...))
		}
	}
	check := bystander(f)
	f.Fuzz(func(t *testing.T, plan []byte) {
		if len(plan) > 4<<10 {
			return
		}
		hostile(t, plan, check)
	})
}

// sessionSeeds are scripts that go a little way along the protocol.
var sessionSeeds = [][]byte{
	{},
	{byte(kindPing), 0, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, formValue, 1, 5},
	{byte(kindGoAway), 0, 0, formValue, 0, 0},
	{byte(kindRequest), byte(flagMessage | flagEnd), 0, formRequest, 0, 3, 'a', 'b', 'c', byte(kindCancel), 0, 0, formValue, 0, 0},
	{byte(kindRequest), 0, 1, formRequest, 1, 0, byte(kindMessage), byte(flagFirst), 1, formMessage, 2, 0, 0, 64, 1, 2, 3, byte(kindMessage), byte(flagEnd), 1, formNone},
	{byte(kindRequest), byte(flagMore), 2, formBytes, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, byte(kindRequest), 0, 2, formBytes, 0, 1, 1},
	{byte(kindRequest), 0, 0, formRequest, 2, 0, byte(kindMessage), byte(flagFirst), 0, formMessage, 3, 0, 1, 0, byte(kindMessage), 0, 0, formBytes, 1, 0},
	{byte(kindRequest), 0, 0, formRequest, 3, 0, byte(kindCredit), 0, 0, formValue, 4, 0, byte(kindCredit), 0, 0, formValue, 6, 0},
	{byte(kindHeader), byte(flagFromIn), 0, formMetadata, 3, 'x', 'y', 'z', byte(kindTrailer), byte(flagFromIn | flagHeader | flagMessage), 0, formHeaderAndTrailer, 2, 'o', 'k'},
	{byte(kindTrailer), byte(flagFromIn), 1, formTrailer, 5, 0, byte(kindTrailer), byte(flagFromIn | flagMessage), 0, formTrailer, 0, 4, 1, 2, 3, 4},
	{byte(kindMessage), byte(flagFromIn | flagFirst), 1, formMessage, 4, 0, 3, 0xff, 1, byte(kindCancel), byte(flagFromIn), 1, formValue, 1, 0},
	{rawFrame, 0, 0, formBytes, 0, 7, 1, 2, 3, 4, 5, 6, 7},
	{byte(kindPad), 0, 0, formNone},
}
