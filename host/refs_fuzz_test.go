package host

import (
	"bytes"
	"context"
	"io"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// fuzzTime bounds the waits of FuzzReferences.
const fuzzTime = 30 * time.Second

// fuzzedID stands for the id of an object that the peer holds, which has as many digits.
var fuzzedID = strings.Repeat("*", 32)

// fuzzedObject is what a peer holds.
type fuzzedObject struct {
	closed *atomic.Int64
	stir   chan struct{} // is sent to when one more is closed
	n      atomic.Int64
}

func (o *fuzzedObject) Add(n int64) int64 { return o.n.Add(n) }

func (o *fuzzedObject) Self() *fuzzedObject { return o }

func (o *fuzzedObject) Merge(other *fuzzedObject) int64 {
	if other == nil {
		return 0
	}
	return other.n.Load()
}

func (o *fuzzedObject) Close() error {
	o.closed.Add(1)
	select {
	case o.stir <- struct{}{}:
	default: // who waits looks again anyway
	}
	return nil
}

// peerStream is a stream of a link whose other end is the test.
type peerStream struct {
	in, out chan *carpv1.Frame
	over    chan struct{}
}

func (s *peerStream) Send(f *carpv1.Frame) error {
	select {
	case s.out <- f:
		return nil
	case <-s.over:
		return io.EOF
	}
}

func (s *peerStream) Recv() (*carpv1.Frame, error) {
	select {
	case f := <-s.in:
		return f, nil
	case <-s.over:
		return nil, io.EOF
	}
}

func jsonCall(id uint64, method, payload string) *carpv1.Frame {
	return &carpv1.Frame{Id: id, Kind: &carpv1.Frame_Call{Call: &carpv1.Call{Method: method, Codec: "json", Payload: []byte(payload)}}}
}

// fuzzedSeeds are conversations about objects and callbacks, and streams.
func fuzzedSeeds() [][]*carpv1.Frame {
	object := `[{"$ref":{"class":"Object","id":"` + fuzzedID + `"}}]`
	ofObject := jsonCall(3, "/Object/Add", "[1]")
	ofObject.GetCall().Instance = fuzzedID
	merge := jsonCall(5, "/Object/Merge", object)
	merge.GetCall().Instance = fuzzedID
	self := jsonCall(3, "/Object/Self", "[]")
	self.GetCall().Instance = fuzzedID
	callback := jsonCall(5, "/carp.v1.Callback/call", "[1]")
	callback.GetCall().Instance = fuzzedID
	sum := &carpv1.Frame{Id: 3, Kind: &carpv1.Frame_Call{Call: &carpv1.Call{Method: "/sum/call", Codec: "json", Streaming: true}}}
	each := jsonCall(3, "/each/call", `[{"$ref":{"id":"f"}}]`)
	each.GetCall().TakesItems = true
	item := func(text string) *carpv1.Frame {
		return &carpv1.Frame{Id: 3, Kind: &carpv1.Frame_Item{Item: &carpv1.Item{Payload: []byte(text)}}}
	}
	end := &carpv1.Frame{Id: 3, Kind: &carpv1.Frame_End{End: &carpv1.End{}}}
	cancel := &carpv1.Frame{Id: 3, Kind: &carpv1.Frame_Cancel{Cancel: &carpv1.Cancel{}}}
	release := &carpv1.Frame{Kind: &carpv1.Frame_Release{Release: &carpv1.Release{Objects: []*carpv1.Released{{Id: fuzzedID, Count: 1}}}}}
	return [][]*carpv1.Frame{
		{ofObject, merge, release}, {self, release, release, jsonCall(7, "/take/call", object)},
		{jsonCall(3, "/Object/call", "[]"), callback, release},
		{jsonCall(3, "/take/call", `[{"$ref":{"class":"Other","id":"x","host":"y"}}]`), jsonCall(5, "/take/call", "[null]")},
		{jsonCall(3, "/apply/call", `[{"$ref":{"id":"f"}}]`)}, {jsonCall(3, "/keep/call", `[{"$ref":{"id":"f"}}]`), each, cancel},
		{sum, item("[]"), item("1"), item("2"), end}, {sum, item("[]"), item(`"x"`), item("3"), end}, {sum, item("7"), cancel}, {each},
	}
}

// Whatever a peer sends about objects, callbacks and the later items of streams, and however
// it answers when it is called back: no panic, nothing stuck, and each object is
// closed once when the link is over.
func FuzzReferences(f *testing.F) {
	for _, frames := range fuzzedSeeds() {
		var all []byte
		for _, frame := range frames {
			b, err := proto.Marshal(frame)
			if err != nil {
				f.Fatal(err)
			}
			all = append(append(all, byte(len(b))), b...)
		}
		for _, answer := range []string{"2", `"x"`, `{"$ref":{"id":"g"}}`, "["} {
			f.Add(all, []byte(answer))
		}
	}
	f.Fuzz(func(t *testing.T, frames, answer []byte) { fuzzReferences(t, frames, answer) })
}

func fuzzReferences(t *testing.T, frames, answer []byte) {
	var made, closed atomic.Int64
	stir := make(chan struct{}, 1)
	h, err := New("h", WithLogger(slog.New(slog.DiscardHandler)), WithMaxObjects(4),
		WithHooks(Hooks{Panic: func(_ context.Context, p PanicInfo) { t.Errorf("a panic: %v\n%s", p.Value, p.Stack) }}))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := h.ExportClass("Object", func() *fuzzedObject {
		made.Add(1)
		return &fuzzedObject{closed: &closed, stir: stir}
	}); err != nil {
		t.Fatal(err)
	}
	for name, fn := range map[string]any{
		"take":  func(o *fuzzedObject) bool { return o != nil },
		"apply": func(ctx context.Context, f func(context.Context, int) (int, error)) (int, error) { return f(ctx, 1) },
		"keep":  func(ctx context.Context, _ func(int) (int, error)) error { return ctx.Err() },
		"each": func(ctx context.Context, f func(context.Context, int) (int, error)) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range 2 {
					if !yield(f(ctx, i)) {
						return
					}
				}
			}
		},
		"sum": func(numbers iter.Seq[int8]) (sum int) {
			for n := range numbers {
				sum += int(n)
			}
			return sum
		},
	} {
		if _, err := h.Export(name, fn); err != nil {
			t.Fatal(err)
		}
	}
	s := &peerStream{make(chan *carpv1.Frame), make(chan *carpv1.Frame), make(chan struct{})}
	l := &Link{target: "fuzzed", ourSession: newSession()}
	if err := h.startLink(s, l, func() {}); err != nil {
		t.Fatal(err)
	}
	converse(t, l, s, frames, answer)
	l.Close()
	close(s.over)
	l.frames.Wait()
	h.Close()
	// Objects close behind the functions that run on them.
	limit := time.After(fuzzTime)
	for closed.Load() != made.Load() {
		select {
		case <-stir:
		case <-limit:
			t.Fatalf("%d objects were made, %d are closed", made.Load(), closed.Load())
		}
	}
}

// converse plays the peer: it makes an object, sends the frames and answers calls.
func converse(t *testing.T, l *Link, s *peerStream, frames, answer []byte) {
	t.Helper()
	send := func(f *carpv1.Frame) bool {
		select {
		case s.in <- f:
			return true
		case <-l.frames.Done():
			return false
		case <-time.After(fuzzTime):
			t.Fatal("the link is stuck")
			return false
		}
	}
	object := make(chan []byte, 1)
	var answers sync.WaitGroup
	defer answers.Wait()
	over := make(chan struct{})
	defer close(over)
	answers.Go(func() {
		for {
			select {
			case f := <-s.out:
				if r := f.GetReply(); r != nil && f.GetId() == 1 {
					object <- r.GetPayload()
				}
				if f.GetCall() == nil {
					continue
				}
				reply := &carpv1.Frame{Id: f.GetId(), Kind: &carpv1.Frame_Reply{Reply: &carpv1.Reply{Payload: answer}}}
				answers.Go(func() {
					select {
					case s.in <- reply:
					case <-l.frames.Done():
					case <-over:
					}
				})
			case <-over:
				return
			}
		}
	})
	send(&carpv1.Frame{Kind: &carpv1.Frame_Hello{Hello: &carpv1.Hello{MinVersion: 1, MaxVersion: 1, HostId: "peer", Features: []string{"streams"}}}})
	send(&carpv1.Frame{Kind: &carpv1.Frame_Exports{Exports: &carpv1.Exports{Generation: 1, Full: true}}})
	send(jsonCall(1, "/Object/call", "[]"))
	var id []byte
	select {
	case ref := <-object:
		_, after, _ := bytes.Cut(ref, []byte(`"id":"`))
		id, _, _ = bytes.Cut(after, []byte(`"`))
	case <-time.After(fuzzTime):
		t.Fatal("there is no object")
	}
	if len(id) != len(fuzzedID) {
		t.Fatalf("the object has the id %q", id)
	}
	frames = bytes.ReplaceAll(frames, []byte(fuzzedID), id)
	for len(frames) > 0 {
		n := min(int(frames[0]), len(frames)-1)
		var f carpv1.Frame
		if proto.Unmarshal(frames[1:1+n], &f) == nil && len(f.GetExports().GetAdded()) == 0 && !send(&f) {
			return
		}
		frames = frames[1+n:]
	}
}
