package shm

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/carp-rpc/carp-go/internal/leak"
)

// sockets is a connected pair of unix sockets with deadlines far beyond any handshake.
func sockets(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	wrap := func(fd int) *net.UnixConn {
		f := os.NewFile(uintptr(fd), "socketpair")
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		return c.(*net.UnixConn)
	}
	return wrap(fds[0]), wrap(fds[1])
}

func options() *Options {
	return &Options{Ring: 8 << 10, RingLimit: 1 << 20, Backings: AllBackings, Protos: []string{"b", "a"}}
}

type outcome struct {
	sess *Session
	err  error
}

// shake does both sides of a handshake.
func shake(t *testing.T, dialler, listener *Options) (d, l outcome) {
	t.Helper()
	a, b := sockets(t)
	done := make(chan outcome)
	go func() {
		s, err := Accept(b, listener)
		if err != nil {
			b.Close()
		}
		done <- outcome{s, err}
	}()
	s, err := Connect(a, dialler)
	if err != nil {
		a.Close()
	}
	d, l = outcome{s, err}, <-done
	for _, o := range []outcome{d, l} {
		if (o.sess == nil) == (o.err == nil) {
			t.Fatalf("session %v and error %v", o.sess, o.err)
		}
		if o.sess != nil {
			t.Cleanup(o.sess.Close)
		}
	}
	return d, l
}

func TestHandshakeSettles(t *testing.T) {
	self := PeerCred{PID: os.Getpid(), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	for _, c := range []struct {
		name              string
		dialler, listener func(*Options)
		ring              int
		backing           Backing
		proto             string
	}{
		{"defaults", func(*Options) {}, func(*Options) {}, 8 << 10, MemFD, "b"},
		{"the larger wish", func(o *Options) { o.Ring = 64 << 10 }, func(*Options) {}, 64 << 10, MemFD, "b"},
		{"the larger wish, the listener's", func(*Options) {}, func(o *Options) { o.Ring = 64 << 10 }, 64 << 10, MemFD, "b"},
		{"within the listener's limit", func(o *Options) { o.Ring = 1 << 20 }, func(o *Options) { o.RingLimit = 16 << 10 }, 16 << 10, MemFD, "b"},
		{"within the dialler's limit", func(o *Options) { o.RingLimit = 16 << 10 }, func(o *Options) { o.Ring = 1 << 20 }, 16 << 10, MemFD, "b"},
		{"the smallest", func(o *Options) { o.Ring = MinRing }, func(o *Options) { o.Ring, o.RingLimit = MinRing, MinRing }, MinRing, MemFD, "b"},
		{"the listener's preference", func(*Options) {}, func(o *Options) { o.Prefer = SysV }, 8 << 10, SysV, "b"},
		{"what the dialler can", func(o *Options) { o.Backings = Of(SysV) }, func(*Options) {}, 8 << 10, SysV, "b"},
		{"what the listener can", func(*Options) {}, func(o *Options) { o.Backings = Of(SysV) }, 8 << 10, SysV, "b"},
		{"the dialler's first protocol", func(o *Options) { o.Protos = []string{"x", "a", "b"} }, func(*Options) {}, 8 << 10, MemFD, "a"},
		{"no protocol in common", func(o *Options) { o.Protos = []string{"x"} }, func(*Options) {}, 8 << 10, MemFD, ""},
		{"no protocol", func(o *Options) { o.Protos = nil }, func(*Options) {}, 8 << 10, MemFD, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			leak.Check(t)
			dial, listen := options(), options()
			c.dialler(dial)
			c.listener(listen)
			d, l := shake(t, dial, listen)
			for _, o := range []outcome{d, l} {
				if o.err != nil {
					t.Fatal(o.err)
				}
				if got, want := o.sess.Info(), (Info{Peer: self, Proto: c.proto, Backing: c.backing}); got != want {
					t.Errorf("info %+v, want %+v", got, want)
				}
				if tx, rx := o.sess.TX().Cap(), o.sess.RX().Cap(); tx != c.ring || rx != c.ring {
					t.Errorf("rings of %d and %d bytes, want %d", tx, rx, c.ring)
				}
			}
			exchange(t, d.sess, l.sess)
			exchange(t, l.sess, d.sess)
		})
	}
}

// exchange sends a ringful.
func exchange(t *testing.T, from, to *Session) {
	t.Helper()
	want := string(count(from.TX().Cap(), 3))
	if n, err := from.TX().Write([]byte(want)); n != len(want) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	got := make([]byte, len(want))
	if n, err := to.RX().Read(got); n != len(want) || err != nil || string(got) != want {
		t.Fatalf("Read = %d, %v, or other bytes than were sent", n, err)
	}
}

// Rings of different sizes for the two directions are legal, whoever wants them.
func TestRingPerDirection(t *testing.T) {
	leak.Check(t)
	o := options()
	h := o.hello()
	h.rings[0] = ringWish{MinRing, 1 << 20}
	h.rings[1] = ringWish{3 * MinRing, 1 << 20} // no power of two
	o.Ring = MinRing
	off, err := o.answer(h)
	if want := (capacities{MinRing, 2 * MinRing}); err != nil || off.caps != want {
		t.Fatalf("%v, %v, want %v", off.caps, err, want)
	}
	for _, create := range []Backing{MemFD, SysV} {
		off.backing = create
		seg, fd, err := createSegment(&off)
		if err != nil {
			t.Fatal(err)
		}
		if fd >= 0 {
			unix.Close(fd)
		}
		_, small := seg.ring(0)
		_, large := seg.ring(1)
		if len(small) != MinRing || len(large) != 2*MinRing || &small[0] != &seg.mem[offData] || &large[0] != &seg.mem[offData+MinRing] {
			t.Errorf("%v: rings of %d and %d bytes, or at another place", create, len(small), len(large))
		}
		if err := seg.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRefusals(t *testing.T) {
	why := errors.New("not on a Sunday")
	for _, c := range []struct {
		name              string
		dialler, listener func(*Options)
		says              string
		dialOnly          bool // the listener only sees the connection end
	}{
		{"by the listener", func(*Options) {}, func(o *Options) { o.Allow = func(PeerCred) error { return why } }, why.Error(), false},
		{"by the dialler", func(o *Options) { o.Allow = func(PeerCred) error { return why } }, func(*Options) {}, why.Error(), true},
		{"nothing in common", func(o *Options) { o.Backings = Of(MemFD) }, func(o *Options) { o.Backings = Of(SysV) }, "no backing in common", false},
		{"limit too low", func(o *Options) { o.RingLimit = MinRing / 2 }, func(*Options) {}, "legal are", false},
		{"wish too high", func(o *Options) { o.Ring = 2 * MaxRing }, func(*Options) {}, "legal are", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			leak.Check(t)
			dial, listen := options(), options()
			c.dialler(dial)
			c.listener(listen)
			d, l := shake(t, dial, listen)
			if !errors.Is(d.err, ErrRefused) || !strings.Contains(d.err.Error(), c.says) {
				t.Errorf("the dialler got %v, want ErrRefused with %q", d.err, c.says)
			}
			if l.err == nil || !c.dialOnly && !errors.Is(l.err, ErrRefused) {
				t.Errorf("the listener got %v, want ErrRefused", l.err)
			}
		})
	}
}

// A peer of the future that speaks this version, too, is fine; one that does not is
// told what we speak.
func TestVersions(t *testing.T) {
	for _, c := range []struct {
		low, high uint16
		ok        bool
	}{
		{1, 1, true}, {1, 9, true}, {0, 1, true}, {2, 9, false}, {0, 0, false}, {2, 1, false},
	} {
		o := options()
		h := o.hello()
		h.minVersion, h.maxVersion = c.low, c.high
		_, err := o.answer(h)
		if (err == nil) != c.ok {
			t.Errorf("versions %d to %d: %v", c.low, c.high, err)
		}
		if err != nil && !strings.Contains(err.Error(), "the listener version 1") {
			t.Errorf("error %q doesn't say what is spoken here", err)
		}
	}
}

// recite is a peer that sends what it likes, and reads away what it gets.
func recite(t *testing.T, c *net.UnixConn, messages ...[]byte) {
	t.Helper()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	for _, m := range messages {
		if _, err := c.Write(m); err != nil {
			t.Error(err)
		}
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
}

func legalOffer() offer {
	return offer{version: Version, backing: MemFD, caps: capacities{8 << 10, 8 << 10}}
}

func TestDiallerMeetsOthers(t *testing.T) {
	change := func(f func(*offer)) []byte {
		o := legalOffer()
		f(&o)
		return frame(kindOffer, o)
	}
	for _, c := range []struct {
		name  string
		sends []byte
		want  error
		says  string
	}{
		{"nothing", nil, ErrNotShm, "closed the connection"},
		{"a web server", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), ErrNotShm, `"HTTP/1.1 400 Bad`},
		{"half a header", []byte("carp-shm\x02"), nil, "unexpected EOF"},
		{"a long message", []byte("carp-shm\x02\x00\x01\x00\xff\xff\xff\xff"), ErrCorrupt, "4294967295 bytes"},
		{"an ack", frame(kindAck, ack{ok: true}), ErrCorrupt, "kind 3"},
		{"an unknown kind", frame(99, ack{ok: true}), ErrCorrupt, "kind 99"},
		{"a refusal", frame(kindRefuse, refusal{reason: "full"}), ErrRefused, "full"},
		{"another version", change(func(o *offer) { o.version = 2 }), ErrCorrupt, "version 2"},
		{"an unknown backing", change(func(o *offer) { o.backing = 3 }), ErrCorrupt, "unknown backing 3"},
		{"a ring beyond our limit", change(func(o *offer) { o.caps[1] = 2 << 20 }), ErrCorrupt, "our limit is 1048576"},
		{"a ring of no power of two", change(func(o *offer) { o.caps[0] = 5000 }), ErrCorrupt, "power of two"},
		{"a protocol that we don't speak", change(func(o *offer) { o.proto = "x" }), ErrCorrupt, `"x"`},
		{"no descriptor", frame(kindOffer, legalOffer()), ErrCorrupt, "without a descriptor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leak.Check(t)
			ours, theirs := sockets(t)
			recite(t, theirs, c.sends)
			s, err := Connect(ours, options())
			if s != nil || err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %v, want %v with %q", s, err, c.want, c.says)
			}
		})
	}
}

func TestListenerMeetsOthers(t *testing.T) {
	hi := frame(kindHello, options().hello())
	for _, c := range []struct {
		name  string
		sends []byte
		want  error
		says  string
	}{
		{"nothing", nil, io.EOF, ""},
		{"a web client", []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ErrNotShm, `"PRI * HTTP/2.0`},
		{"half a hello", hi[:len(hi)-1], io.ErrUnexpectedEOF, ""},
		{"an offer", frame(kindOffer, legalOffer()), ErrCorrupt, "kind 2"},
		{"nine protocols", frame(kindHello, hello{protos: make([]string, 9)}), ErrCorrupt, "9 upper protocols"},
		{"no answer to the offer", hi, io.ErrUnexpectedEOF, ""},
		{"another answer", append(append([]byte{}, hi...), hi...), ErrCorrupt, "kind 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leak.Check(t)
			ours, theirs := sockets(t)
			recite(t, theirs, c.sends)
			s, err := Accept(ours, options())
			if s != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %v, want %v with %q", s, err, c.want, c.says)
			}
		})
	}
}

// What comes after the fields that we know is from the future, and skipped.
func TestLongerMessagesAreFine(t *testing.T) {
	h := options().hello()
	got, err := parseHello(append(h.append(nil), 1, 2, 3))
	if err != nil || got.rings != h.rings || len(got.protos) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	o := legalOffer()
	if got, err := parseOffer(append(o.append(nil), 1, 2, 3)); err != nil || got != o {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMessagesCutShort(t *testing.T) {
	for _, body := range [][]byte{options().hello().append(nil), legalOffer().append(nil), ack{reason: "x"}.append(nil), refusal{"x"}.append(nil)} {
		for n := range body {
			_, e1 := parseHello(body[:n])
			_, e2 := parseOffer(body[:n])
			_, e3 := parseAck(body[:n])
			_, e4 := parseRefusal(body[:n])
			for _, err := range []error{e1, e2, e3, e4} {
				if err != nil && !errors.Is(err, ErrCorrupt) {
					t.Fatalf("cut to %d bytes: %v", n, err)
				}
			}
		}
		if _, err := parseHello(body[:3]); err == nil {
			t.Error("three bytes are taken for a hello")
		}
	}
}
