package rpctest

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// memoryCases are about who owns what a call leaves behind. Transports reuse
// memory; nothing that was given to a caller or a handler may change later.
func memoryCases() []testCase {
	return []testCase{
		{
			name: "memory/messages outlive their call",
			rule: "Requests that a handler keeps, and replies that a caller keeps, stay as they were.",
			run:  keptMessages,
		},
		{
			name: "memory/messages of a stream outlive it",
			rule: "Messages received from a stream stay as they were when later ones arrive.",
			run: func(e *env) {
				c := e.pair(handlers{serverStream: func(ss grpc.ServerStream) error {
					for i := range keptCount {
						if err := ss.SendMsg(&message{Value: numbered(i)}); err != nil {
							return err
						}
					}
					return nil
				}})
				cs, err := c.serverStream(e.ctx, text(""))
				e.client("open: %s", showError(err))
				var kept []*message
				for m := new(message); cs.RecvMsg(m) == nil; m = new(message) {
					kept = append(kept, m)
				}
				e.client("%d kept, changed: %v", len(kept), changed(kept))
			},
		},
		{
			name: "memory/metadata outlives its call",
			rule: "Incoming metadata, headers and trailers stay as they were after the call.",
			run:  keptMetadata,
		},
		{
			name: "memory/contexts outlive their call",
			rule: "A handler's context keeps its values, deadline and end after the call, whatever other calls are made.",
			run:  keptContexts,
		},
		{
			name: "memory/codec keeps what it decoded",
			rule: "A codec may keep references to received buffers beyond Unmarshal; their content stays.",
			run:  keptBuffers,
		},
		{
			name: "memory/request is the caller's again",
			rule: "After a unary call has returned its request may be changed and used again.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary})
				in := &message{}
				wrong := 0
				for i := range keptCount {
					in.Value = append(in.Value[:0], numbered(i)...)
					if m, err := c.unary(e.ctx, in); err != nil || string(m.GetValue()) != string(numbered(i)) {
						wrong++
					}
				}
				e.client("wrong: %d", wrong)
			},
		},
	}
}

// keptCount is more messages than a transport's buffers hold at once.
const keptCount = 200

// numbered is the content of message i: some short, some long.
func numbered(i int) []byte {
	b := make([]byte, 8+(i%7)*2000)
	for j := range b {
		b[j] = byte(i + j*7)
	}
	return b
}

// changed counts the messages that are not what they were.
func changed(kept []*message) (n int) {
	for i, m := range kept {
		if string(m.GetValue()) != string(numbered(i)) {
			n++
		}
	}
	return n
}

func keptMessages(e *env) {
	var mu sync.Mutex
	var requests, replies []*message
	c := e.pair(handlers{unary: func(_ context.Context, m *message) (*message, error) {
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, m)
		return m, nil
	}})
	for i := range keptCount {
		m, err := c.unary(e.ctx, &message{Value: numbered(i)})
		if err != nil {
			e.client("call %d: %s", i, showError(err))
			return
		}
		replies = append(replies, m)
	}
	e.awaitHandlers()
	e.server("%d kept, changed: %d", len(requests), changed(requests))
	e.client("%d kept, changed: %d", len(replies), changed(replies))
}

func keptMetadata(e *env) {
	var mu sync.Mutex
	var incoming []metadata.MD
	c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		mu.Lock()
		incoming = append(incoming, md)
		mu.Unlock()
		grpc.SetHeader(ctx, pairs("h", string(m.GetValue())))
		grpc.SetTrailer(ctx, pairs("t-bin", string(m.GetValue())))
		return m, nil
	}})
	const calls = 100
	headers, trailers := make([]metadata.MD, calls), make([]metadata.MD, calls)
	name := func(i int) string { return fmt.Sprint("call ", i) }
	for i := range calls {
		ctx := metadata.AppendToOutgoingContext(e.ctx, "k", name(i), "k-bin", name(i))
		c.unary(ctx, text(name(i)), grpc.Header(&headers[i]), grpc.Trailer(&trailers[i]))
	}
	e.awaitHandlers()
	wrong := func(mds []metadata.MD, key string) (n int) {
		for i, md := range mds {
			if v := md.Get(key); len(v) != 1 || v[0] != name(i) {
				n++
			}
		}
		return n
	}
	e.server("%d kept, changed: %d, %d", len(incoming), wrong(incoming, "k"), wrong(incoming, "k-bin"))
	e.client("changed: headers %d, trailers %d", wrong(headers, "h"), wrong(trailers, "t-bin"))
}

func keptContexts(e *env) {
	var mu sync.Mutex
	var kept []context.Context
	keep := func(ctx context.Context) {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, ctx)
	}
	c := e.pair(handlers{
		unary: func(ctx context.Context, m *message) (*message, error) { keep(ctx); return m, nil },
		bidi:  func(ss grpc.ServerStream) error { keep(ss.Context()); return nil },
	})
	const calls = 50
	for i := range calls {
		ctx := metadata.AppendToOutgoingContext(e.ctx, "k", fmt.Sprint("call ", i))
		if i%2 == 0 {
			c.unary(ctx, text("x"))
		} else if cs, err := c.bidi(ctx); err == nil {
			cs.RecvMsg(new(message))
		}
	}
	e.awaitHandlers()
	wrong := 0
	for i, ctx := range kept {
		e.wait(ctx.Done(), "the end of a handler's context")
		md, _ := metadata.FromIncomingContext(ctx)
		_, hasPeer := peer.FromContext(ctx)
		method, _ := grpc.Method(ctx)
		want := unaryMethod
		if i%2 == 1 {
			want = bidiMethod
		}
		_, hasDeadline := ctx.Deadline()
		if v := md.Get("k"); len(v) != 1 || v[0] != fmt.Sprint("call ", i) || !hasPeer || method != want || hasDeadline || ctx.Err() != context.Canceled {
			wrong++
		}
	}
	e.server("%d kept, wrong: %d", len(kept), wrong)
}

// keepingCodec decodes into a *mem.BufferSlice, by keeping what it is given.
type keepingCodec struct{}

func (keepingCodec) Name() string { return "proto" }

func (keepingCodec) Marshal(v any) (mem.BufferSlice, error) {
	return encoding.GetCodecV2("proto").Marshal(v)
}

func (keepingCodec) Unmarshal(data mem.BufferSlice, v any) error {
	data.Ref()
	*v.(*mem.BufferSlice) = data
	return nil
}

func keptBuffers(e *env) {
	c := e.pair(handlers{unary: echoUnary})
	kept := make([]mem.BufferSlice, keptCount)
	for i := range kept {
		err := c.Invoke(e.ctx, unaryMethod, &message{Value: numbered(i)}, &kept[i], grpc.ForceCodecV2(keepingCodec{}))
		if err != nil {
			e.client("call %d: %s", i, showError(err))
			return
		}
	}
	wrong := 0
	for i, data := range kept {
		m := new(message)
		if err := encoding.GetCodecV2("proto").Unmarshal(data, m); err != nil || string(m.GetValue()) != string(numbered(i)) {
			wrong++
		}
		data.Free()
	}
	e.client("%d kept, changed: %d", len(kept), wrong)
}
