package rpctest

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// outgoing is the metadata of a call, and why it is in the table.
type outgoing struct {
	name string
	md   metadata.MD // set with metadata.NewOutgoingContext
	add  []string    // then added with metadata.AppendToOutgoingContext
}

// metadataCases are about what goes with a request.
func metadataCases() []testCase {
	return []testCase{
		{"metadata/values", "Metadata arrives as it was sent: binary values whole, values of a key in order, keys in lower case.", func(e *env) { echoMetadata(e, plainMetadata()) }},
		{"metadata/reserved keys", "Keys that belong to the protocol are left out of a request, without an error.", func(e *env) { echoMetadata(e, reservedMetadata()) }},
		{"metadata/refused", "A call with an invalid key or value fails with Internal and is not sent.", func(e *env) { echoMetadata(e, refusedMetadata()) }},
		{"metadata/refused upper case", "A key in upper case that got into an MD past package metadata's functions is invalid.", func(e *env) { echoMetadata(e, upperCaseMetadata()) }},
		{
			name: "metadata/what the server sees of the protocol",
			rule: "The handler finds :authority, content-type, user-agent and grpc-accept-encoding in the incoming metadata, and nothing else of the protocol.",
			run: func(e *env) {
				ep := e.serve(handlers{unary: noteMetadata(e), bidi: func(ss grpc.ServerStream) error {
					_, err := noteMetadata(e)(ss.Context(), nil)
					return err
				}})
				c := e.dial(ep, authority("authority.test"), func(cfg *ClientConfig) { cfg.UserAgent = "my-agent/1.0" })
				e.client("unary: %s", showReply(c.unary(e.ctx, text("x"))))
				cs, err := c.bidi(e.ctx)
				e.client("bidi: %s", showError(err))
				e.recv(cs)
				c = e.dial(ep, authority("authority.test"))
				e.client("default user agent: %s", showReply(c.unary(e.ctx, text("x"))))
				c.unary(e.ctx, text("x"), grpc.CallContentSubtype("proto"))
			},
		},
		{
			name: "metadata/authority by default",
			rule: "Without a setting there is exactly one :authority, and it is not empty.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					md, _ := metadata.FromIncomingContext(ctx)
					a := md.Get(":authority")
					e.server("%d values, empty: %v", len(a), len(a) == 0 || a[0] == "")
					return m, nil
				}})
				e.client("%s", showReply(c.unary(e.ctx, text("x"))))
			},
		},
		{
			name: "metadata/belongs to the handler",
			rule: "A handler may change the metadata that metadata.FromIncomingContext gives it; nobody else sees that.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					md, ok := metadata.FromIncomingContext(ctx)
					md.Set("k", "changed")
					again, _ := metadata.FromIncomingContext(ctx)
					e.server("%v: %s, ValueFromIncomingContext %q", ok, showMD(pick(again, "k")), metadata.ValueFromIncomingContext(ctx, "K"))
					return m, nil
				}})
				c.unary(metadata.AppendToOutgoingContext(e.ctx, "k", "v"), text("x"))
			},
		},
		{
			name: "metadata/does not go on by itself",
			rule: "The incoming metadata of a handler is not the outgoing metadata of the calls it makes.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					_, ok := metadata.FromOutgoingContext(ctx)
					e.server("outgoing: %v", ok)
					return m, nil
				}})
				c.unary(metadata.AppendToOutgoingContext(e.ctx, "k", "v"), text("x"))
			},
		},
		{
			name: "metadata/over the server's limit",
			rule: "Metadata above the limit that the server announced is not sent: the call fails with Internal, a stream when it is opened. The connection goes on.",
			run:  overServersLimit,
		},
		{
			name: "metadata/over the client's limit",
			rule: "A header or trailer above the limit that the client announced is not sent: the call fails with Internal, and the handler is told of its header. The connection goes on.",
			run:  overClientsLimit,
		},
	}
}

// authority makes the client's authority the same on every stack.
func authority(a string) func(*ClientConfig) {
	return func(cfg *ClientConfig) { cfg.Authority = a }
}

// noteMetadata takes down all the metadata of a request.
func noteMetadata(e *env) func(context.Context, *message) (*message, error) {
	return func(ctx context.Context, m *message) (*message, error) {
		md, ok := metadata.FromIncomingContext(ctx)
		e.server("%v %s", ok, showMD(md))
		return m, nil
	}
}

// echoMetadata makes a unary and a streaming call with each row's metadata.
func echoMetadata(e *env, table []outgoing) {
	ep := e.serve(handlers{unary: noteMetadata(e), bidi: func(ss grpc.ServerStream) error {
		_, err := noteMetadata(e)(ss.Context(), nil)
		return err
	}})
	c := e.dial(ep, authority("authority.test"))
	for _, row := range table {
		ctx := e.ctx
		if row.md != nil {
			ctx = metadata.NewOutgoingContext(ctx, row.md)
		}
		if row.add != nil {
			ctx = metadata.AppendToOutgoingContext(ctx, row.add...)
		}
		e.client("%s: unary: %s", row.name, showReply(c.unary(ctx, text(row.name))))
		cs, err := c.bidi(ctx)
		if err == nil {
			err = cs.RecvMsg(new(message))
		}
		e.client("%s: bidi: %s", row.name, showError(err))
	}
}

func plainMetadata() []outgoing {
	many := metadata.MD{}
	for i := range 100 {
		many.Append(fmt.Sprint("key-", i), fmt.Sprint(i), fmt.Sprint(-i))
	}
	return []outgoing{
		{name: "none"},
		{name: "empty", md: metadata.MD{}},
		{name: "one", md: pairs("k", "v")},
		{name: "order of values", md: pairs("k", "2", "k", "1", "k", "3", "k", "1")},
		{name: "added after", md: pairs("k", "1"), add: []string{"k", "2", "other", "o", "k", "3"}},
		{name: "upper case", md: metadata.MD{}, add: []string{"Upper-Case", "V", "UPPER-CASE", "W"}},
		{name: "New lowers", md: metadata.New(map[string]string{"Mixed-Case": "Kept"})},
		{name: "no values", md: metadata.MD{"none": {}, "nil": nil, "some": {"s"}}},
		{name: "empty value", md: pairs("k", "", "k", "x", "k", "")},
		{name: "outer spaces", md: pairs("k", "  v  ")},
		{name: "only spaces", md: pairs("k", "   ")},
		{name: "commas", md: pairs("k", "a,b", "k", "c")},
		{name: "punctuation", md: pairs("k", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")},
		{name: "key characters", md: pairs("a-b_c.d", "v", "0", "digit", "-", "dash")},
		{name: "binary", md: pairs("k-bin", allBytes(), "k-bin", "", "k-bin", "text")},
		{name: "binary with commas", md: pairs("k-bin", "a,b", "k-bin", ",")},
		{name: "binary upper case", md: metadata.MD{}, add: []string{"K-BIN", "\x00\xff"}},
		{name: "only -bin", md: pairs("-bin", "\x01")},
		{name: "many", md: many},
		{name: "8 KiB", md: pairs("k", strings.Repeat("k", 8<<10))},
		{name: "60 KiB", md: pairs("k", strings.Repeat("k", 30<<10), "k-bin", strings.Repeat("\x00", 30<<10))},
		{name: "grpc's own prefix", md: pairs("grpc-anything", "v")},
		{name: "carp's prefix", md: pairs("carp-codec", "msgpack")},
	}
}

func reservedMetadata() []outgoing {
	var table []outgoing
	for _, key := range append([]string{":authority", ":path", ":method", ":scheme", ":status", ":other"}, reservedKeys...) {
		if key == "host" {
			continue // becomes a second authority in HTTP/2, below
		}
		table = append(table, outgoing{name: key, md: metadata.MD{key: {"7"}, "plain": {"p"}}})
	}
	return append(table, outgoing{name: "added content-type", md: metadata.MD{}, add: []string{"Content-Type", "text/html", "plain", "p"}})
}

func refusedMetadata() []outgoing {
	return []outgoing{
		{name: "space in key", md: metadata.MD{"a b": {"v"}}},
		{name: "empty key", md: metadata.MD{"": {"v"}}},
		{name: "slash in key", md: metadata.MD{"a/b": {"v"}}},
		{name: "non-ascii key", md: metadata.MD{"ü": {"v"}}},
		{name: "newline", md: metadata.MD{"k": {"a\nb"}}},
		{name: "tab", md: metadata.MD{"k": {"a\tb"}}},
		{name: "nul", md: metadata.MD{"k": {"\x00"}}},
		{name: "delete", md: metadata.MD{"k": {"\x7f"}}},
		{name: "non-ascii value", md: metadata.MD{"k": {"é"}}},
		{name: "second value", md: metadata.MD{"k": {"fine", "\n"}}},
		{name: "added key", md: pairs("k", "v"), add: []string{"a b", "v"}},
		{name: "added value", add: []string{"k", "\n"}},
		{name: "added upper case, bad value", add: []string{"K", "\n"}},
		{name: "invalid reserved", md: metadata.MD{"content-type": {"\n"}}},
		{name: "invalid pseudo", md: metadata.MD{":path": {"\n"}}},
		{name: "invalid without values", md: metadata.MD{"a b": nil}},
	}
}

func upperCaseMetadata() []outgoing {
	return []outgoing{
		{name: "upper case in MD", md: metadata.MD{"Upper": {"v"}}},
		{name: "upper case in MD, without values", md: metadata.MD{"Upper": nil}},
	}
}

// listLimit is a limit of metadata, in bytes. What is tried is far from it, as what
// else is counted depends on the transport.
const listLimit = 8 << 10

func manyBytes() metadata.MD { return metadata.Pairs("many", strings.Repeat("m", 2*listLimit)) }

func overServersLimit(e *env) {
	c := e.dial(e.serve(handlers{unary: echoUnary, bidi: echoStream(e)}, func(cfg *ServerConfig) { cfg.MaxHeaderListSize = listLimit }))
	ctx := metadata.NewOutgoingContext(e.ctx, manyBytes())
	e.client("unary: %s", showReply(c.unary(ctx, text("x"))))
	_, err := c.bidi(ctx)
	e.client("open: %s", showError(err))
	fits := metadata.AppendToOutgoingContext(e.ctx, "some", strings.Repeat("s", listLimit/2))
	e.client("next: %s", showReply(c.unary(fits, text("y"))))
}

func overClientsLimit(e *env) {
	send := func(what string, header, trailer func(metadata.MD) error) {
		switch what {
		case "header":
			e.server("%s: %s", what, showError(header(manyBytes())))
		case "trailer":
			e.server("%s: %s", what, showError(trailer(manyBytes())))
		}
	}
	ep := e.serve(handlers{
		unary: func(ctx context.Context, m *message) (*message, error) {
			send(string(m.GetValue()),
				func(md metadata.MD) error { return grpc.SendHeader(ctx, md) },
				func(md metadata.MD) error { return grpc.SetTrailer(ctx, md) })
			return m, nil
		},
		bidi: func(ss grpc.ServerStream) error {
			m := new(message)
			if err := ss.RecvMsg(m); err != nil {
				return err
			}
			send(string(m.GetValue()), ss.SendHeader, func(md metadata.MD) error { ss.SetTrailer(md); return nil })
			return nil
		},
	})
	c := e.dial(ep, func(cfg *ClientConfig) { cfg.MaxHeaderListSize = listLimit })
	for _, what := range []string{"header", "trailer", "neither"} {
		_, err := c.unary(e.ctx, text(what))
		e.client("%s, unary: %s", what, showCode(err))
		e.awaitHandlers()
		cs, err := c.bidi(e.ctx)
		e.client("open: %s", showError(err))
		e.client("send: %s", showError(cs.SendMsg(text(what))))
		e.client("%s, stream: %s", what, showCode(cs.RecvMsg(new(message))))
		e.awaitHandlers()
	}
}
