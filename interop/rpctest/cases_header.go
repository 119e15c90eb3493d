package rpctest

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A script is what a handler does with header, messages and trailer, one
// letter a step:
//
//	h  SetHeader    s  SendHeader    m  SendMsg    t  SetTrailer
//	+  returns nil  -  returns an error
type script string

// scripts are all orders of up to n steps, with both endings.
func scripts(steps string, n int) []script {
	all := []string{""}
	for level := all; n > 0; n-- {
		var next []string
		for _, s := range level {
			for _, step := range steps {
				next = append(next, s+string(step))
			}
		}
		all = append(all, next...)
		level = next
	}
	var list []script
	for _, s := range all {
		list = append(list, script(s+"+"), script(s+"-"))
	}
	return list
}

// headerSteps are the functions that a script calls.
type headerSteps struct {
	set, send  func(metadata.MD) error
	setTrailer func(metadata.MD) error
	message    func(string) error
}

// play does what the script says. Each step carries its own number, so that
// what reaches the client tells which steps counted.
func (e *env) play(s script, do headerSteps) error {
	for i, step := range s {
		md := metadata.Pairs("step", fmt.Sprint(i), fmt.Sprintf("only-%c", step), fmt.Sprint(i))
		var err error
		switch step {
		case 'h':
			err = do.set(md)
		case 's':
			err = do.send(md)
		case 't':
			err = do.setTrailer(md)
		case 'm':
			err = do.message(fmt.Sprint("message ", i))
		case '-':
			return status.Error(codes.Aborted, "as the script says")
		}
		e.note("server "+string(s), "%c: %s", step, showError(err))
	}
	return nil
}

// contextSteps are the functions of package grpc, which take a context.
func contextSteps(ctx context.Context) headerSteps {
	return headerSteps{
		set:        func(md metadata.MD) error { return grpc.SetHeader(ctx, md) },
		send:       func(md metadata.MD) error { return grpc.SendHeader(ctx, md) },
		setTrailer: func(md metadata.MD) error { return grpc.SetTrailer(ctx, md) },
	}
}

// streamSteps are the methods of a stream.
func streamSteps(ss grpc.ServerStream) headerSteps {
	return headerSteps{
		set:        ss.SetHeader,
		send:       ss.SendHeader,
		setTrailer: func(md metadata.MD) error { ss.SetTrailer(md); return nil },
		message:    func(s string) error { return ss.SendMsg(text(s)) },
	}
}

// headerCases are about headers and trailers: when they are sent, what is in
// them, and what is too late.
func headerCases() []testCase {
	const rule = "SetHeader adds up until the header is sent, by SendHeader, the first message or the end; SetTrailer adds up until the end. What is too late is an error."
	return append([]testCase{
		{"header/every order, unary", rule, func(e *env) {
			c := e.pair(handlers{unary: func(ctx context.Context, in *message) (*message, error) {
				s := script(in.GetValue())
				return text("done"), e.play(s, contextSteps(ctx))
			}})
			for _, s := range scripts("hst", 3) {
				var header, trailer metadata.MD
				m, err := c.unary(e.ctx, text(string(s)), grpc.Header(&header), grpc.Trailer(&trailer))
				e.client("%s: %s, header %s, trailer %s", s, showReply(m, err), showMD(header), showMD(trailer))
			}
		}},
		{"header/every order, stream", rule, func(e *env) { playStreams(e, streamSteps) }},
		{"header/every order, stream's context", rule, func(e *env) {
			playStreams(e, func(ss grpc.ServerStream) headerSteps {
				steps := contextSteps(ss.Context())
				steps.message = streamSteps(ss).message
				return steps
			})
		}},
		{"header/every order, client stream", rule, func(e *env) {
			c := e.pair(handlers{clientStream: func(ss grpc.ServerStream) error {
				in := new(message)
				if err := ss.RecvMsg(in); err != nil {
					return err
				}
				return e.play(script(in.GetValue()), streamSteps(ss))
			}})
			for _, s := range scripts("hsmt", 2) {
				cs, err := c.clientStream(e.ctx)
				e.client("%s: open: %s", s, showError(err))
				e.send(cs, string(s))
				e.closeSend(cs)
				e.recv(cs)
				e.header(cs)
				e.trailer(cs)
			}
		}},
	}, headerTimingCases()...)
}

// playStreams plays every script on a bidirectional stream.
func playStreams(e *env, steps func(grpc.ServerStream) headerSteps) {
	c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
		in := new(message)
		if err := ss.RecvMsg(in); err != nil {
			return err
		}
		return e.play(script(in.GetValue()), steps(ss))
	}})
	for _, s := range scripts("hsmt", 3) {
		cs, err := c.bidi(e.ctx)
		e.client("%s: open: %s", s, showError(err))
		e.send(cs, string(s))
		e.header(cs)
		e.drain(cs)
		e.header(cs)
		e.trailer(cs)
	}
}

// headerTimingCases are about moments: what the client can see while the
// handler still runs.
func headerTimingCases() []testCase {
	return []testCase{
		{
			name: "header/seen before the first message",
			rule: "SendHeader lets the client see the header while the handler has sent nothing else.",
			run: func(e *env) {
				seen := newSignal()
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					e.server("send header: %s", showError(ss.SendHeader(pairs("early", "1"))))
					e.await(seen, "the client's look at the header")
					ss.SetTrailer(pairs("late", "2"))
					return nil
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.header(cs)
				seen.happened()
				e.drain(cs)
				e.trailer(cs)
			},
		},
		{
			name: "header/of a unary call in flight",
			rule: "A unary handler can send its header before it returns; the client has it after the call.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					e.server("send: %s", showError(grpc.SendHeader(ctx, pairs("a", "1"))))
					e.server("set after: %s", showError(grpc.SetHeader(ctx, pairs("b", "2"))))
					e.server("send again: %s", showError(grpc.SendHeader(ctx, pairs("c", "3"))))
					return m, nil
				}})
				var header, trailer metadata.MD
				m, err := c.unary(e.ctx, text("x"), grpc.Header(&header), grpc.Trailer(&trailer))
				e.client("%s, header %s, trailer %s", showReply(m, err), showMD(header), showMD(trailer))
			},
		},
		{
			name: "header/empty metadata is ignored",
			rule: "SetHeader and SetTrailer without metadata do nothing, at any time; SendHeader without metadata sends.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					for range 2 {
						e.server("set: %s, %s", showError(ss.SetHeader(nil)), showError(ss.SetHeader(metadata.MD{})))
						e.server("send: %s", showError(ss.SendHeader(nil)))
						ss.SetTrailer(nil)
					}
					return nil
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.header(cs)
				e.drain(cs)
				e.trailer(cs)
			},
		},
		{
			name: "header/trailers-only has no header",
			rule: "When a handler ends before anything was sent, Header gives nil metadata and a nil error, and all is in the trailer.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					ss.SetTrailer(pairs("why", "no reason"))
					return status.Error(codes.PermissionDenied, "at the door")
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.header(cs)
				e.recv(cs)
				e.trailer(cs)
			},
		},
		{
			name: "header/no stream in the context",
			rule: "The functions that find the stream in a context fail with Internal in any other context.",
			run: func(e *env) {
				first := func(err error) string {
					line, _, _ := strings.Cut(showError(err), "context ")
					return line
				}
				ctx := context.Background()
				e.server("SetHeader: %s", first(grpc.SetHeader(ctx, pairs("k", "v"))))
				e.server("SendHeader: %s", first(grpc.SendHeader(ctx, pairs("k", "v"))))
				e.server("SetTrailer: %s", first(grpc.SetTrailer(ctx, pairs("k", "v"))))
			},
		},
		{
			name: "header/refused metadata",
			rule: "Header metadata with an invalid key or value is refused with Internal by the stream's own methods.",
			run:  refusedHeaders,
		},
		{
			name: "header/reserved keys are dropped",
			rule: "Keys that belong to the protocol are left out of headers and trailers, without an error.",
			run:  reservedHeaders,
		},
		{
			name: "header/values of every kind",
			rule: "Headers and trailers carry the same values as requests: binary ones, many, empty, with spaces inside.",
			run:  headerValues,
		},
		{
			name: "header/caller's metadata is left alone",
			rule: "What a handler does with its metadata after SetHeader or SetTrailer returned does not change what is sent.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					md := pairs("k", "before")
					grpc.SetHeader(ctx, md)
					grpc.SetTrailer(ctx, md)
					md.Set("k", "after")
					md.Set("more", "after")
					return m, nil
				}})
				var header, trailer metadata.MD
				m, err := c.unary(e.ctx, text("x"), grpc.Header(&header), grpc.Trailer(&trailer))
				e.client("%s, header %s, trailer %s", showReply(m, err), showMD(header), showMD(trailer))
			},
		},
		{
			name: "header/trailer before the end",
			rule: "Trailer gives nothing before the stream has ended.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					ss.SetTrailer(pairs("k", "v"))
					e.write(ss, "first")
					e.read(ss)
					return nil
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.trailer(cs)
				e.recv(cs)
				e.trailer(cs)
				e.closeSend(cs)
				e.recv(cs)
				e.trailer(cs)
			},
		},
		{
			name: "header/after the handler has returned",
			rule: "A stream whose handler has returned takes no more headers, trailers or messages.",
			run:  lateUse,
		},
	}
}

func refusedHeaders(e *env) {
	refused := []metadata.MD{
		{"Upper": {"v"}},
		{"sp ace": {"v"}},
		{"": {"v"}},
		{"ünï": {"v"}},
		{"k": {"new\nline"}},
		{"k": {"tab\t"}},
		{"k": {"\x00"}},
		{"k": {"é"}},
		{"k": {"\x7f"}},
		{":pseudo": {"v"}},
		{"ok": {"fine"}, "k-bin": {"\x00\xff"}},
	}
	c := e.pair(handlers{
		bidi: func(ss grpc.ServerStream) error {
			in := new(message)
			if err := ss.RecvMsg(in); err != nil {
				return err
			}
			md := refused[in.GetValue()[0]]
			e.server("%s: set %s", showMD(md), showError(ss.SetHeader(md)))
			e.server("%s: send %s", showMD(md), showError(ss.SendHeader(md)))
			return nil
		},
	})
	for i := range refused {
		cs, err := c.bidi(e.ctx)
		e.client("open: %s", showError(err))
		e.client("send: %s", showError(cs.SendMsg(&message{Value: []byte{byte(i)}})))
		e.recv(cs)
		e.header(cs)
		e.trailer(cs)
	}
}

// reservedKeys belong to HTTP/2 or to gRPC.
var reservedKeys = []string{
	"content-type", "user-agent", "te", "grpc-message-type", "grpc-encoding", "grpc-message",
	"grpc-status", "grpc-timeout", "grpc-accept-encoding", "grpc-tags-bin", "grpc-trace-bin",
	"grpc-retry-pushback-ms", "grpc-previous-rpc-attempts", "grpc-own-name", "host", "trailer",
	"content-length", "accept-encoding", "date",
}

func reservedHeaders(e *env) {
	c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
		in := new(message)
		if err := ss.RecvMsg(in); err != nil {
			return err
		}
		key := string(in.GetValue())
		e.server("%s: set %s", key, showError(ss.SetHeader(pairs(key, "7", "plain", "h"))))
		ss.SetTrailer(pairs(key, "8", "plain", "t"))
		return status.Error(codes.Aborted, "over")
	}})
	for _, key := range reservedKeys {
		cs, err := c.bidi(e.ctx)
		e.client("%s: open: %s", key, showError(err))
		e.send(cs, key)
		e.recv(cs)
		e.header(cs)
		e.trailer(cs)
	}
}

func headerValues(e *env) {
	md := metadata.MD{
		"empty":        {""},
		"two":          {"a", "b"},
		"same":         {"a", "a"},
		"comma":        {"a,b", "c, d"},
		"inner":        {"in  ner"},
		"outer":        {" outer "},
		"punctuation":  {"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
		"k.e_y-1":      {"v"},
		"data-bin":     {"\x00\x01\xff", "", "text", "comma,"},
		"large-bin":    {strings.Repeat("\xaa", 5000)},
		"large":        {strings.Repeat("l", 5000)},
		"not-utf8-bin": {"\xff\xfe"},
	}
	c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
		e.server("set: %s, %s", showError(grpc.SetHeader(ctx, md)), showError(grpc.SetTrailer(ctx, md)))
		return m, nil
	}})
	var header, trailer metadata.MD
	m, err := c.unary(e.ctx, text("x"), grpc.Header(&header), grpc.Trailer(&trailer))
	e.client("%s", showReply(m, err))
	e.client("header: %s", showMD(header))
	e.client("trailer: %s", showMD(trailer))
}

func lateUse(e *env) {
	streams := make(chan grpc.ServerStream, 1)
	c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error { streams <- ss; return nil }})
	cs, err := c.bidi(e.ctx)
	e.client("open: %s", showError(err))
	e.recv(cs)
	ss := <-streams
	e.wait(ss.Context().Done(), "the end of the stream's context")
	e.server("set header: %s", showError(ss.SetHeader(pairs("k", "v"))))
	e.server("send header: %s", showError(ss.SendHeader(pairs("k", "v"))))
	e.server("set trailer: %s", showError(grpc.SetTrailer(ss.Context(), pairs("k", "v"))))
	e.write(ss, "late")
}
