package rpctest

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A service whose messages are Go strings, for codecs other than protobuf.
const (
	stringsService = "rpctest.v1.Strings"
	stringsUnary   = "/rpctest.v1.Strings/Unary"
	stringsBidi    = "/rpctest.v1.Strings/Bidi"
)

// serveStrings starts a server that echoes strings, and takes down with which
// content type they came.
func serveStrings(e *env) Endpoint {
	contentType := func(ctx context.Context) {
		md, _ := metadata.FromIncomingContext(ctx)
		e.server("content-type %q", md.Get("content-type"))
	}
	desc := &grpc.ServiceDesc{
		ServiceName: stringsService,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary",
			Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				defer e.handling()()
				contentType(ctx)
				var in string
				if err := dec(&in); err != nil {
					e.server("decoding: %s", showError(err))
					return nil, err
				}
				return &in, nil
			}}},
		Streams: []grpc.StreamDesc{{StreamName: "Bidi", ClientStreams: true, ServerStreams: true,
			Handler: func(_ any, ss grpc.ServerStream) error {
				defer e.handling()()
				contentType(ss.Context())
				for {
					var in string
					if err := ss.RecvMsg(&in); err != nil {
						e.server("decoding: %s", showError(err))
						return nil
					}
					if err := ss.SendMsg(&in); err != nil {
						e.server("encoding: %s", showError(err))
						return nil
					}
				}
			}}},
	}
	return e.serve(handlers{}, func(cfg *ServerConfig) {
		cfg.Register = func(r grpc.ServiceRegistrar) { r.RegisterService(desc, nil) }
	})
}

// callStrings sends a string in a unary call and on a stream.
func callStrings(e *env, c client, s string, opts ...grpc.CallOption) {
	var out string
	var header metadata.MD
	err := c.Invoke(e.ctx, stringsUnary, &s, &out, append(opts, grpc.Header(&header))...)
	e.client("unary %q: %q %s, header %s", s, out, showError(err), showMD(header))
	// The server answers what it can't decode before the handler knows.
	e.awaitHandlers()

	ctx, cancel := context.WithCancel(e.ctx)
	defer e.awaitHandlersOf(cancel)
	cs, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, stringsBidi, opts...)
	e.client("stream %q: open: %s", s, showError(err))
	if err != nil {
		return
	}
	e.client("send: %s", showError(cs.SendMsg(&s)))
	out = ""
	err = cs.RecvMsg(&out)
	e.client("receive: %q %s", out, showError(err))
	if err == nil {
		e.closeSend(cs)
		e.client("end: %s", showError(cs.RecvMsg(&out)))
	}
}

// codecCases are about codecs other than grpc-go's own for protobuf.
func codecCases() []testCase {
	with := func(name, rule string, opts ...grpc.CallOption) testCase {
		return testCase{name, rule, func(e *env) {
			callStrings(e, e.dial(serveStrings(e)), "a text", opts...)
		}}
	}
	return []testCase{
		with("codec/content-subtype", "CallContentSubtype picks a registered codec on both sides, and names it in content-type both ways.", grpc.CallContentSubtype(codecName)),
		with("codec/content-subtype in upper case", "The content-subtype is lowered.", grpc.CallContentSubtype("RPCTEST-JSON")),
		with("codec/unknown content-subtype", "A content-subtype that nobody registered fails the call with Internal before it is sent.", grpc.CallContentSubtype("nobodys")),
		with("codec/ForceCodecV2", "ForceCodecV2 uses the given codec and its name as the content-subtype.", grpc.ForceCodecV2(jsonCodec{})),
		with("codec/ForceCodec", "ForceCodec does the same with a codec of the older kind.", grpc.ForceCodec(codecV1{})),
		with("codec/CallCustomCodec", "CallCustomCodec uses a codec of the oldest kind, and tells the server nothing about it.", customCodec()),
		with("codec/forced codec and subtype", "With both, the codec is the forced one and the content-subtype the given one.", grpc.ForceCodecV2(jsonCodec{"other-name"}), grpc.CallContentSubtype(codecName)),
		{
			name: "codec/name in upper case",
			rule: "The name of a forced codec is lowered in content-type.",
			run: func(e *env) {
				callStrings(e, e.dial(serveStrings(e)), "a text", grpc.ForceCodecV2(jsonCodec{"RPCTEST-Json"}))
			},
		},
		{
			name: "codec/unknown to the server",
			rule: "A server without the codec of a request takes it for protobuf.",
			run: func(e *env) {
				callStrings(e, e.dial(serveStrings(e)), "a text", grpc.ForceCodecV2(jsonCodec{"unheard-of"}))
			},
		},
		{
			name: "codec/wrong kind of message",
			rule: "A message that the codec can't take fails the call with Internal on the side where it happens.",
			run: func(e *env) {
				e.leaveToChance("server") // the call may have begun
				callStrings(e, e.dial(serveStrings(e)), "no protobuf")
			},
		},
		{
			name: "codec/client can't encode",
			rule: "An error of the codec in sending fails the call with Internal, and its text is passed on.",
			run: func(e *env) {
				e.leaveToChance("server") // the call may have begun
				callStrings(e, e.dial(serveStrings(e)), "unencodable", grpc.CallContentSubtype(codecName))
			},
		},
		{
			name: "codec/server can't decode",
			rule: "An error of the codec in the server's receiving fails the call with Internal, and its text is passed on.",
			run: func(e *env) {
				callStrings(e, e.dial(serveStrings(e)), "undecodable", grpc.CallContentSubtype(codecName))
			},
		},
		{
			name: "codec/server can't encode",
			rule: "An error of the codec in the server's sending fails the call with Internal, for the handler too.",
			run:  func(e *env) { badReply(e, "unencodable") },
		},
		{
			name: "codec/client can't decode",
			rule: "An error of the codec in the client's receiving fails the call with Internal.",
			run:  func(e *env) { badReply(e, "undecodable") },
		},
		{
			name: "codec/protobuf strings that are not UTF-8",
			rule: "protobuf refuses to encode them, and to decode them: Internal on the side where it happens.",
			run:  invalidUTF8,
		},
		{
			name: "codec/pooled buffers",
			rule: "Every buffer that a codec gave to the transport is freed once, and its content is sent as it was.",
			run:  pooledBuffers,
		},
		{
			name: "codec/prepared message",
			rule: "A grpc.PreparedMsg is sent as it was encoded, as often as one likes.",
			run:  preparedMessage,
		},
		{
			name: "codec/reply into a used message",
			rule: "A reply replaces what was in the message before; a failed call leaves it alone.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(_ context.Context, m *message) (*message, error) {
					if len(m.GetValue()) == 0 {
						return m, nil
					}
					return nil, errTest
				}})
				out := text("used")
				err := c.Invoke(e.ctx, unaryMethod, text("fail"), out)
				e.client("%s, %s", showError(err), showMessage(out))
				err = c.Invoke(e.ctx, unaryMethod, text(""), out)
				e.client("%s, %s", showError(err), showMessage(out))
			},
		},
		{
			name: "codec/nil messages",
			rule: "A nil message is sent as an empty one, on either side.",
			run:  nilMessages,
		},
	}
}

// customCodec is the deprecated twin of ForceCodec.
func customCodec() grpc.CallOption {
	return grpc.CustomCodecCallOption{Codec: codecV0{}}
}

func badReply(e *env, reply string) {
	desc := &grpc.ServiceDesc{
		ServiceName: stringsService,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary",
			Handler: func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				defer e.handling()()
				var in string
				return &reply, dec(&in)
			}}},
		Streams: []grpc.StreamDesc{{StreamName: "Bidi", ClientStreams: true, ServerStreams: true,
			Handler: func(_ any, ss grpc.ServerStream) error {
				defer e.handling()()
				// The client has sent before it can know of the end.
				var in string
				if err := ss.RecvMsg(&in); err != nil {
					return err
				}
				e.server("send: %s", showError(ss.SendMsg(&reply)))
				return nil
			}}},
	}
	c := e.dial(e.serve(handlers{}, func(cfg *ServerConfig) {
		cfg.Register = func(r grpc.ServiceRegistrar) { r.RegisterService(desc, nil) }
	}))
	callStrings(e, c, "x", grpc.CallContentSubtype(codecName))
}

func invalidUTF8(e *env) {
	const bad = "bad \xff"
	desc := &grpc.ServiceDesc{
		ServiceName: stringsService,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary",
			Handler: func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				defer e.handling()()
				in := new(wrapperspb.StringValue)
				if err := dec(in); err != nil {
					return nil, err
				}
				return wrapperspb.String(bad), nil
			}}},
	}
	c := e.dial(e.serve(handlers{}, func(cfg *ServerConfig) {
		cfg.Register = func(r grpc.ServiceRegistrar) { r.RegisterService(desc, nil) }
	}))
	call := func(in, out any) {
		e.client("%T: %s", in, showError(c.Invoke(e.ctx, stringsUnary, in, out)))
	}
	call(wrapperspb.String(bad), new(wrapperspb.StringValue)) // refused by the client's encoder
	call(text(bad), new(wrapperspb.StringValue))              // the same bytes, refused by the server's decoder
	call(text("fine"), new(wrapperspb.StringValue))           // refused by the server's encoder
}

func pooledBuffers(e *env) {
	pool := newCountingPool()
	codec := pooledCodec{pool}
	c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
		for {
			in := new(message)
			if err := ss.RecvMsg(in); err != nil {
				e.server("%s", showError(err))
				return nil
			}
			e.server("%s", showMessage(in))
			if err := ss.SendMsg(in); err != nil {
				return err
			}
		}
	}})
	// The content is a protobuf message already: the server's codec is the
	// one it knows by that name.
	opts := []grpc.CallOption{grpc.ForceCodecV2(codec), grpc.CallContentSubtype("proto")}
	cs, err := c.bidi(e.ctx, opts...)
	e.client("open: %s", showError(err))
	raw, _ := encoding.GetCodecV2("proto").Marshal(zeros(100_000))
	in := raw.Materialize()
	for range 3 {
		var out []byte
		e.client("send: %s", showError(cs.SendMsg(&in)))
		e.client("receive: %s, the same %v", showError(cs.RecvMsg(&out)), string(in) == string(out))
	}
	e.closeSend(cs)
	e.client("end: %s", showError(cs.RecvMsg(new([]byte))))
	var out []byte
	e.client("unary: %s", showError(c.Invoke(e.ctx, "/no.such/Method", &in, &out, opts...)))
	pool.awaitEmpty(e)
}

func preparedMessage(e *env) {
	c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
		for {
			in := new(message)
			if err := ss.RecvMsg(in); err != nil {
				return nil //nolint:nilerr // the end of the stream, which is not what is looked at
			}
			var p grpc.PreparedMsg
			e.server("%s, encode %s", showMessage(in), showError(p.Encode(ss, in)))
			e.server("send twice: %s, %s", showError(ss.SendMsg(&p)), showError(ss.SendMsg(&p)))
		}
	}})
	cs, err := c.bidi(e.ctx)
	e.client("open: %s", showError(err))
	var p grpc.PreparedMsg
	e.client("encode: %s", showError(p.Encode(cs, text("prepared"))))
	for range 2 {
		e.client("send: %s", showError(cs.SendMsg(&p)))
		e.recv(cs)
		e.recv(cs)
	}
	e.closeSend(cs)
	e.recv(cs)
}

func nilMessages(e *env) {
	desc := &grpc.ServiceDesc{
		ServiceName: stringsService,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary",
			Handler: func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				defer e.handling()()
				in := new(message)
				if err := dec(in); err != nil {
					return nil, err
				}
				e.server("%s", showMessage(in))
				if len(in.GetValue()) > 0 {
					return nil, nil // no reply at all
				}
				return (*message)(nil), nil
			}}},
	}
	c := e.dial(e.serve(handlers{}, func(cfg *ServerConfig) {
		cfg.Register = func(r grpc.ServiceRegistrar) { r.RegisterService(desc, nil) }
	}))
	for _, in := range []any{(*message)(nil), nil, text("no reply")} {
		out := new(message)
		err := c.Invoke(e.ctx, stringsUnary, in, out)
		e.client("%s: %s", showAny(in), showReply(out, err))
	}
}
