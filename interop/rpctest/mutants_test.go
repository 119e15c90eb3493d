package rpctest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/carp-rpc/carp-go/interop/rpctest"
)

// A mutant is a stack with one fault, and the cases that must find it.
type mutant struct {
	name  string
	found []string
	broken
}

// TestMutants shows that the suite can fail: every fault is found.
func TestMutants(t *testing.T) {
	for _, m := range slices.Concat(replyMutants(), streamMutants(), contextMutants(), optionMutants(), serverMutants(), lifeMutants()) {
		for _, name := range m.found {
			t.Run(m.name+"/"+name, func(t *testing.T) {
				t.Parallel() // many a mutant is found because it hangs
				diff := rpctest.Differs(t, m.stack(), name, time.Second)
				if diff == "" {
					t.Errorf("%q does not find a stack that %s", name, m.name)
				}
				t.Logf("found:\n%s", diff)
			})
		}
	}
}

// replyMutants spoil what a unary call gives back.
func replyMutants() []mutant {
	return []mutant{
		{"maps a code wrongly", []string{"status/codes, unary", "status/conversion, unary"}, afterError(func(err error) error {
			if status.Code(err) == codes.NotFound {
				return status.Error(codes.Unknown, status.Convert(err).Message())
			}
			return err
		})},
		{"keeps only the codes it knows", []string{"status/codes, unary"}, afterError(func(err error) error {
			if c := status.Code(err); c > codes.Unauthenticated {
				return status.Error(codes.Unknown, status.Convert(err).Message())
			}
			return err
		})},
		{"cuts the text of a status", []string{"status/messages, unary"}, afterError(func(err error) error {
			if msg := status.Convert(err).Message(); len(msg) > 8<<10 {
				return status.Error(status.Code(err), msg[:8<<10])
			}
			return err
		})},
		{"loses the details", []string{"status/details, unary"}, afterError(func(err error) error {
			if err == nil {
				return nil
			}
			return status.Error(status.Code(err), status.Convert(err).Message())
		})},
		{"fails with context errors", []string{"cancel/while the handler runs, unary", "deadline/client notices, unary"},
			after(func(ctx context.Context, _ any, _ []grpc.CallOption, err error) error {
				if err != nil && ctx.Err() != nil {
					return fmt.Errorf("call: %w", ctx.Err())
				}
				return err
			})},
		{"tells the cause", []string{"cancel/cause stays at home"}, after(func(ctx context.Context, _ any, _ []grpc.CallOption, err error) error {
			if err != nil && ctx.Err() != nil {
				return status.Error(status.Code(err), context.Cause(ctx).Error())
			}
			return err
		})},
		{"loses the header", []string{"header/every order, unary", "header/values of every kind"}, without[grpc.HeaderCallOption]()},
		{"loses the trailer", []string{"header/every order, unary", "status/own details trailer"}, without[grpc.TrailerCallOption]()},
		{"gives an empty header for none", []string{"status/codes, unary"}, after(func(_ context.Context, _ any, opts []grpc.CallOption, err error) error {
			for _, o := range opts {
				if h, ok := o.(grpc.HeaderCallOption); ok && *h.HeaderAddr == nil {
					*h.HeaderAddr = metadata.MD{}
				}
			}
			return err
		})},
		{"loses a value of a header", []string{"header/values of every kind"}, after(func(_ context.Context, _ any, opts []grpc.CallOption, err error) error {
			for _, o := range opts {
				if h, ok := o.(grpc.HeaderCallOption); ok && len((*h.HeaderAddr)["two"]) == 2 {
					(*h.HeaderAddr)["two"] = []string{"a, b"}
				}
			}
			return err
		})},
		{"uses a header's memory again", []string{"memory/metadata outlives its call"}, lastHeader()},
		{"uses a reply's memory again", []string{"memory/messages outlive their call"}, lastReply()},
		{"gives a reply with the error", []string{"codec/reply into a used message"}, after(func(_ context.Context, reply any, _ []grpc.CallOption, err error) error {
			if r, ok := reply.(interface{ Reset() }); ok && err != nil {
				r.Reset()
			}
			return err
		})},
	}
}

// lastHeader and lastReply give the caller what the next call overwrites.

func lastHeader() broken {
	var last metadata.MD
	return after(func(_ context.Context, _ any, opts []grpc.CallOption, err error) error {
		clear(last)
		for _, o := range opts {
			if h, ok := o.(grpc.HeaderCallOption); ok {
				last = *h.HeaderAddr
			}
		}
		return err
	})
}

func lastReply() broken {
	var last *wrapperspb.BytesValue
	return after(func(_ context.Context, reply any, _ []grpc.CallOption, err error) error {
		clear(last.GetValue())
		last, _ = reply.(*wrapperspb.BytesValue)
		return err
	})
}

// streamMutants spoil client streams.
func streamMutants() []mutant {
	spoil := func(f func(cs grpc.ClientStream) spoiledStream) broken {
		return stream(func(cs grpc.ClientStream) grpc.ClientStream {
			s := f(cs)
			s.ClientStream = cs
			return s
		})
	}
	return []mutant{
		{"loses a stream's trailer", []string{"header/every order, stream", "stream/early return while the client sends"}, spoil(func(grpc.ClientStream) spoiledStream {
			return spoiledStream{trailer: func() metadata.MD { return nil }}
		})},
		{"shows an empty header for none", []string{"header/trailers-only has no header", "cancel/while waiting for the header"}, spoil(func(cs grpc.ClientStream) spoiledStream {
			return spoiledStream{header: func() (metadata.MD, error) {
				md, err := cs.Header()
				if md == nil {
					md = metadata.MD{}
				}
				return md, err
			}}
		})},
		{"lets Header tell the error", []string{"cancel/while waiting for the header", "header/trailers-only has no header"}, spoil(func(cs grpc.ClientStream) spoiledStream {
			return spoiledStream{header: func() (metadata.MD, error) {
				md, err := cs.Header()
				if md == nil && err == nil {
					err = cs.RecvMsg(nil)
				}
				return md, err
			}}
		})},
		{"forgets its end", []string{"stream/receive after an error", "stream/early return while the client sends"}, spoil(func(cs grpc.ClientStream) spoiledStream {
			failed := false
			return spoiledStream{recv: func(m any) error {
				if failed {
					return io.EOF
				}
				err := cs.RecvMsg(m)
				failed = err != nil
				return err
			}}
		})},
		{"tells the status in SendMsg", []string{"stream/early return while the client sends", "cancel/client blocked in SendMsg"}, spoil(func(cs grpc.ClientStream) spoiledStream {
			return spoiledStream{send: func(m any) error {
				err := cs.SendMsg(m)
				if err == io.EOF {
					return cs.RecvMsg(m)
				}
				return err
			}}
		})},
		{"loses every tenth message", []string{"calls/thousand messages in order", "concurrent/sending and receiving"}, spoil(func(cs grpc.ClientStream) spoiledStream {
			n := 0
			return spoiledStream{send: func(m any) error {
				if n++; n%10 == 0 {
					return nil
				}
				return cs.SendMsg(m)
			}}
		})},
		{"half-closes only once without an error", []string{"stream/half-close"}, spoil(func(cs grpc.ClientStream) spoiledStream {
			var once sync.Once
			return spoiledStream{closeSend: func() error {
				err := errors.New("closed already")
				once.Do(func() { err = cs.CloseSend() })
				return err
			}}
		})},
		{"never half-closes", []string{"stream/half-close", "calls/client stream of 1"}, spoil(func(grpc.ClientStream) spoiledStream {
			return spoiledStream{closeSend: func() error { return nil }}
		})},
		{"sends after half-close", []string{"stream/send after half-close"}, spoil(func(cs grpc.ClientStream) spoiledStream {
			closed := false
			return spoiledStream{
				closeSend: func() error { closed = true; return cs.CloseSend() },
				send: func(m any) error {
					if closed {
						return nil
					}
					return cs.SendMsg(m)
				},
			}
		})},
		{"drops the caller's values", []string{"context/values of the client stream"}, spoil(func(grpc.ClientStream) spoiledStream {
			return spoiledStream{context: context.Background}
		})},
		{"accepts a missing reply", []string{"stream/client stream without a reply"}, spoil(func(cs grpc.ClientStream) spoiledStream {
			return spoiledStream{recv: func(m any) error {
				if err := cs.RecvMsg(m); status.Code(err) != codes.Internal {
					return err
				}
				return io.EOF
			}}
		})},
	}
}

// contextMutants spoil what goes with a request.
func contextMutants() []mutant {
	outgoing := func(change func(metadata.MD)) broken {
		return otherContext(func(ctx context.Context) context.Context {
			md, ok := metadata.FromOutgoingContext(ctx)
			if ok {
				change(md)
				ctx = metadata.NewOutgoingContext(ctx, md)
			}
			return ctx
		})
	}
	return []mutant{
		{"ignores deadlines and cancellation", []string{"deadline/client notices, unary", "cancel/mid stream, client receiving", "deadline/passed before the call", "cancel/before the call"},
			otherContext(context.WithoutCancel)},
		{"does not send the deadline", []string{"deadline/travels", "deadline/server notices, unary", "deadline/server notices, stream"},
			otherContext(func(ctx context.Context) context.Context { return noDeadline{ctx} })},
		{"halves deadlines", []string{"deadline/travels"}, otherContext(func(ctx context.Context) context.Context {
			if d, ok := ctx.Deadline(); ok {
				return earlier{ctx, d.Add(-time.Until(d) / 2)}
			}
			return ctx
		})},
		{"loses metadata", []string{"metadata/values"}, outgoing(func(md metadata.MD) { clear(md) })},
		{"turns values around", []string{"metadata/values"}, outgoing(func(md metadata.MD) {
			for _, vs := range md {
				slices.Reverse(vs)
			}
		})},
		{"drops empty values", []string{"metadata/values"}, outgoing(func(md metadata.MD) {
			for k, vs := range md {
				md[k] = slices.DeleteFunc(vs, func(v string) bool { return v == "" })
			}
		})},
		{"mends invalid metadata", []string{"metadata/refused", "option/of a failed call"}, outgoing(func(md metadata.MD) {
			for k, vs := range md {
				for i := range vs {
					vs[i] = "mended"
				}
				if k == "a b" || k == "bad key" {
					delete(md, k)
				}
			}
		})},
		{"passes reserved keys on", []string{"metadata/reserved keys"}, outgoing(func(md metadata.MD) {
			if v, ok := md["te"]; ok {
				md["x-te"] = v
			}
		})},
	}
}

type noDeadline struct{ context.Context }

func (noDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }

type earlier struct {
	context.Context
	deadline time.Time
}

func (c earlier) Deadline() (time.Time, bool) { return c.deadline, true }

// optionMutants spoil call options and client settings.
func optionMutants() []mutant {
	return []mutant{
		{"ignores the limit of received messages", []string{"option/given twice", "limits/of a call above the client's"}, without[grpc.MaxRecvMsgSizeCallOption]()},
		{"ignores the limit of sent messages", []string{"limits/of a call above the client's"}, without[grpc.MaxSendMsgSizeCallOption]()},
		{"ignores the content-subtype", []string{"codec/content-subtype", "codec/unknown content-subtype"}, without[grpc.ContentSubtypeCallOption]()},
		{"ignores a forced codec", []string{"codec/ForceCodecV2"}, without[grpc.ForceCodecV2CallOption]()},
		{"ignores a forced codec of the older kind", []string{"codec/ForceCodec"}, without[grpc.ForceCodecCallOption]()},
		{"ignores a codec of the oldest kind", []string{"codec/CallCustomCodec"}, without[grpc.CustomCodecCallOption]()},
		{"ignores a call's credentials", []string{"creds/of a call", "creds/that fail"}, without[grpc.PerRPCCredsCallOption]()},
		{"ignores the authority of a call", []string{"option/CallAuthority"}, without[grpc.AuthorityOverrideCallOption]()},
		{"ignores OnFinish", []string{"option/OnFinish"}, without[grpc.OnFinishCallOption]()},
		{"ignores the compressor", []string{"option/UseCompressor, limits", "option/UseCompressor, identity and unknown"}, without[grpc.CompressorCallOption]()},
		{"does not tell the peer", []string{"creds/peer", "option/Header, Trailer and Peer of a stream"}, without[grpc.PeerCallOption]()},
		{"never waits for ready", []string{"lifecycle/nobody there"}, without[grpc.FailFastCallOption]()},
		{"hides others' options", []string{"interceptor/what they are told, client"}, without[grpc.StaticMethodCallOption]()},
		{"finishes twice", []string{"option/OnFinish"}, before(func(ctx context.Context, opts []grpc.CallOption) (context.Context, []grpc.CallOption) {
			return ctx, append(opts, opts...)
		})},
		{"ignores the client's credentials", []string{"creds/of the client"}, broken{client: func(cfg *rpctest.ClientConfig) { cfg.PerRPCCredentials = nil }}},
		{"has another user agent", []string{"metadata/what the server sees of the protocol"}, broken{client: func(cfg *rpctest.ClientConfig) { cfg.UserAgent += " mutant" }}},
		{"ignores the authority", []string{"metadata/what the server sees of the protocol"}, broken{client: func(cfg *rpctest.ClientConfig) { cfg.Authority = "" }}},
		{"turns client interceptors around", []string{"interceptor/order"}, broken{client: func(cfg *rpctest.ClientConfig) {
			slices.Reverse(cfg.UnaryInterceptors)
			slices.Reverse(cfg.StreamInterceptors)
		}}},
		{"runs only one stats handler", []string{"stats/several handlers"}, broken{client: func(cfg *rpctest.ClientConfig) {
			cfg.StatsHandlers = cfg.StatsHandlers[:min(1, len(cfg.StatsHandlers))]
		}}},
		{"drops the metadata of stats handlers", []string{"stats/metadata of a client's handler"}, broken{client: func(cfg *rpctest.ClientConfig) {
			cfg.StatsHandlers = []stats.Handler{noMetadata{cfg.StatsHandlers[0]}}
		}}},
		{"tells stats of no payloads", []string{"stats/unary", "stats/bidi"}, broken{client: func(cfg *rpctest.ClientConfig) {
			for i, h := range cfg.StatsHandlers {
				cfg.StatsHandlers[i] = noPayloads{h}
			}
		}}},
		{"keeps a codec's buffers", []string{"codec/pooled buffers"}, before(func(ctx context.Context, opts []grpc.CallOption) (context.Context, []grpc.CallOption) {
			opts = slices.Clone(opts)
			for i, o := range opts {
				if f, ok := o.(grpc.ForceCodecV2CallOption); ok {
					opts[i] = grpc.ForceCodecV2(hoarder{f.CodecV2})
				}
			}
			return ctx, opts
		})},
	}
}

type noMetadata struct{ stats.Handler }

func (h noMetadata) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	md, _ := metadata.FromOutgoingContext(ctx)
	return metadata.NewOutgoingContext(h.Handler.TagRPC(ctx, info), md)
}

type noPayloads struct{ stats.Handler }

func (h noPayloads) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); !ok {
		h.Handler.HandleRPC(ctx, s)
	}
}

// hoarder never lets the last reference to a buffer go.
type hoarder struct{ encoding.CodecV2 }

func (h hoarder) Marshal(v any) (mem.BufferSlice, error) {
	data, err := h.CodecV2.Marshal(v)
	data.Ref()
	return data, err
}
