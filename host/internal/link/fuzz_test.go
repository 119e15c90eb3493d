package link_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/host/internal/link"
)

// Whatever frames a peer sends, the link stands or ends; it never panics.
func FuzzFrames(f *testing.F) {
	for _, frame := range []*carpv1.Frame{
		callFrame(1, &carpv1.Call{Method: "/m", PayloadSize: 100}), chunkFrame(1, 100),
		credit(0, 1), credit(2, 1),
		{Id: 2, Kind: &carpv1.Frame_Reply{Reply: &carpv1.Reply{PayloadSize: 10}}}, chunkFrame(2, 10),
		callFrame(1, &carpv1.Call{Method: "/m", Streaming: true, TakesItems: true}), itemFrame(1, 10), largeItem(1, 100), endFrame(1),
		itemFrame(2, 1), largeItem(2, 70_000), {Id: 2, Kind: &carpv1.Frame_Header{Header: &carpv1.Header{}}},
		{Kind: &carpv1.Frame_Tunnel{Tunnel: &carpv1.Tunnel{}}}, {Kind: &carpv1.Frame_Pong{Pong: &carpv1.Pong{Token: 1}}},
		{Id: 1, Kind: &carpv1.Frame_Cancel{Cancel: &carpv1.Cancel{}}},
		{Kind: &carpv1.Frame_Goaway{Goaway: &carpv1.Goaway{}}},
		{Kind: &carpv1.Frame_Ping{Ping: &carpv1.Ping{Token: 1}}},
	} {
		b, err := proto.Marshal(frame)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte{byte(len(b))}, b...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, y := streams()
		cfg := config(t, false, func(c *link.Incoming) {
			if c.TakesItems() {
				echoStream(c)
			} else {
				echo(c)
			}
		})
		cfg.Limits = link.Limits{MaxCalls: 2, MaxPayload: 1 << 17}
		l := link.Start(x, cfg)
		go func() {
			for {
				if _, err := y.Recv(); err != nil {
					return
				}
			}
		}()
		y.Send(&carpv1.Frame{Kind: &carpv1.Frame_Hello{Hello: streaming()}})
		<-l.Ready()
		stream, err := l.Open(t.Context(), &link.Request{Method: "/s", Streaming: true, TakesItems: true})
		if err == nil {
			defer stream.Cancel()
			go func() {
				for err == nil {
					var m link.Message
					if m, err = stream.Recv(); err == nil {
						m.Free()
					}
				}
			}()
		}
		go l.Call(t.Context(), &link.Request{Method: "/m", Payload: payload(1 << 17)})
		for len(data) > 0 {
			n := min(int(data[0]), len(data)-1)
			var frame carpv1.Frame
			if proto.Unmarshal(data[1:1+n], &frame) == nil {
				select {
				case y.out <- &frame:
				case <-l.Done():
				case <-time.After(10 * time.Second):
					t.Fatal("the link is stuck")
				}
			}
			data = data[1+n:]
		}
		l.Close(nil)
		close(x.closed)
		l.Wait()
	})
}
