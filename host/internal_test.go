package host

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/raw"
)

// WithoutTunnel makes a host one that knows no tunnels: a peer that dials has
// only the frames of the link for calls against its direction.
func WithoutTunnel() Option {
	return hostOption(func(c *config) { c.noTunnel = true })
}

// WithAnnouncingRate is how much peers may announce at once, and in a second.
func WithAnnouncingRate(burst, perSecond int) Option {
	return hostOption(func(c *config) { c.announcing = announcingRate{burst, perSecond} })
}

// A reader takes the burst at once, and then what the rate allows.
func TestPace(t *testing.T) {
	rate := announcingRate{burst: 1000, perSecond: 100}
	now := time.Now()
	var p pace
	for _, step := range []struct {
		after time.Duration
		n     int
		want  time.Duration
	}{
		{0, 900, 0},
		{0, 100, 0},
		{0, 50, 500 * time.Millisecond},
		{500 * time.Millisecond, 100, time.Second},
		{time.Hour, 1000, 0},
		{time.Second, 200, time.Second},
	} {
		now = now.Add(step.after)
		if got := p.take(rate, now, step.n); got.Round(time.Millisecond) != step.want {
			t.Errorf("%+v: waits %v", step, got)
		}
	}
}

// Echoed sends encoded messages to a method that answers each with itself, and
// returns what comes back.
func Echoed(tb testing.TB, h *Host, path string, sent ...string) (got []string, err error) {
	tb.Helper()
	m, err := h.openStream(context.Background(), &request{
		path: path, codec: protoCodec,
		stream: &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
	})
	if err != nil {
		return nil, err
	}
	for _, s := range sent {
		if err := m.send(raw.Of([]byte(s))); err != nil {
			return nil, err
		}
	}
	if err := m.closeSend(); err != nil {
		return nil, err
	}
	for {
		msg, err := m.recv()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, string(msg.Data))
		msg.Free()
	}
}

// Encoded messages go both ways over whatever leads to their path.
func TestOpenStream(t *testing.T) {
	h, err := New("h")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	_, err = Echoed(t, h, "/nobody/has")
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a stream that nobody exports: %v, want Unavailable", err)
	}
}
