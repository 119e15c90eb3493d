package link_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/host/internal/link"
)

// A peer over its limit is refused the call, not the link.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t, false, func(c *link.Incoming) {
			<-c.Context().Done()
			c.Reply(link.Result{})
		})
		cfg.Limits = link.Limits{MaxCalls: 2, MaxPayload: 100_000, MaxMetadata: 100}
		_, peer := peerOf(t, cfg, version1())
		refused := func(what string, c *carpv1.Call, id uint64, want codes.Code) {
			t.Helper()
			peer.Send(callFrame(id, c))
			if f, _ := peer.Recv(); codes.Code(f.GetReply().GetCode()) != want {
				t.Errorf("%s: %v, want the reply %v", what, f, want)
			}
		}
		refused("a payload too large", &carpv1.Call{PayloadSize: 100_001}, 1, codes.ResourceExhausted)
		long := []*carpv1.Metadata{{Key: "k", Value: make([]byte, 100)}}
		refused("too much metadata", &carpv1.Call{Metadata: long}, 3, codes.ResourceExhausted)
		peer.Send(callFrame(7, &carpv1.Call{}))
		peer.Send(callFrame(9, &carpv1.Call{}))
		refused("too many calls", &carpv1.Call{}, 11, codes.ResourceExhausted)
	})
}

// A peer that breaks the protocol loses the link.
func TestViolations(t *testing.T) {
	hello := &carpv1.Frame{Kind: &carpv1.Frame_Hello{Hello: version1()}}
	for name, test := range map[string]struct {
		frames []*carpv1.Frame
		want   string
	}{
		"no hello first":         {[]*carpv1.Frame{callFrame(1, &carpv1.Call{})}, "not a hello"},
		"two hellos":             {[]*carpv1.Frame{hello, hello}, "a second hello"},
		"an id of ours":          {[]*carpv1.Frame{hello, callFrame(2, &carpv1.Call{})}, "the id 2"},
		"the id 0":               {[]*carpv1.Frame{hello, callFrame(0, &carpv1.Call{})}, "the id 0"},
		"an id twice":            {[]*carpv1.Frame{hello, callFrame(3, &carpv1.Call{}), callFrame(3, &carpv1.Call{})}, "the id 3 after 3"},
		"a large inline payload": {[]*carpv1.Frame{hello, callFrame(1, &carpv1.Call{Payload: make([]byte, link.MaxInline+1)})}, "in one frame"},
		"a chunk unannounced":    {[]*carpv1.Frame{hello, callFrame(1, &carpv1.Call{PayloadSize: 1}), chunkFrame(1, 1), chunkFrame(1, 1)}, "awaits none"},
		"too many chunks":        {[]*carpv1.Frame{hello, callFrame(1, &carpv1.Call{PayloadSize: 70_000}), chunkFrame(1, 65536), chunkFrame(1, 65536)}, "call 1"},
		"an empty chunk":         {[]*carpv1.Frame{hello, callFrame(1, &carpv1.Call{PayloadSize: 10}), chunkFrame(1, 0)}, "a chunk of 0 bytes"},
		"credit without bound":   {[]*carpv1.Frame{hello, credit(0, 1<<31)}, "credit beyond"},
		"credit beyond int64":    {[]*carpv1.Frame{hello, credit(0, 1<<63)}, "credit beyond"},
	} {
		run(name, t, func(t *testing.T) {
			cfg := config(t, false, func(c *link.Incoming) { <-c.Context().Done(); c.Reply(link.Result{}) })
			l, peer := peerOf(t, cfg, nil)
			go func() { // what this end says is of no interest
				for {
					if _, err := peer.Recv(); err != nil {
						return
					}
				}
			}()
			for _, f := range test.frames {
				peer.Send(f)
			}
			<-l.Done()
			if err := l.Err(); !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want something about %q", err, test.want)
			}
		})
	}
}

func credit(id, n uint64) *carpv1.Frame {
	return &carpv1.Frame{Id: id, Kind: &carpv1.Frame_Credit{Credit: &carpv1.Credit{Bytes: n}}}
}

// A peer that sends calls and reads no answers is cut off.
func TestPeerThatDoesntRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t, false, unserved)
		cfg.Limits.MaxCalls = 4
		l, peer := peerOf(t, cfg, version1())
		for id := uint64(1); ; id += 2 {
			select {
			case <-l.Done():
				if err := l.Err(); !strings.Contains(err.Error(), "doesn't read") {
					t.Errorf("the link ended with %v", err)
				}
				return
			case peer.out <- callFrame(id, &carpv1.Call{}):
			}
			if id > 1_000_000 {
				t.Fatal("the link still takes calls")
			}
		}
	})
}

func TestHello(t *testing.T) {
	for name, test := range map[string]struct {
		hello *carpv1.Hello
		want  string
	}{
		"a newer version":    {&carpv1.Hello{MinVersion: 2, MaxVersion: 3}, "the peer speaks 2 to 3, this end 1 to 1"},
		"an older version":   {&carpv1.Hello{}, "the peer speaks 0 to 0"},
		"a required feature": {&carpv1.Hello{MinVersion: 1, MaxVersion: 1, RequiredFeatures: []string{"teleport"}}, `"teleport"`},
		"a huge hello":       {&carpv1.Hello{MinVersion: 1, MaxVersion: 1, Label: strings.Repeat("x", 1<<17)}, "larger than"},
	} {
		run(name, t, func(t *testing.T) {
			l, _ := peerOf(t, config(t, false, unserved), test.hello)
			<-l.Done()
			if err := l.Err(); !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want something about %q", err, test.want)
			}
		})
	}
	run("a newer peer that speaks this version too", t, func(t *testing.T) {
		l, peer := peerOf(t, config(t, false, echo), &carpv1.Hello{MinVersion: 1, MaxVersion: 9, Features: []string{"teleport"}})
		<-l.Ready()
		peer.Send(&carpv1.Frame{Id: 1}) // a kind of frame that isn't known here
		peer.Send(callFrame(1, &carpv1.Call{Payload: []byte("x")}))
		if f, _ := peer.Recv(); string(f.GetReply().GetPayload()) != "x" {
			t.Errorf("%v, want a reply", f)
		}
	})
	run("no hello", t, func(t *testing.T) {
		l, _ := peerOf(t, config(t, false, unserved), nil)
		<-l.Done()
		if err := l.Err(); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v, want DeadlineExceeded", err)
		}
	})
}
