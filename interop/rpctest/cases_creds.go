package rpctest

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// token is a PerRPCCredentials that takes down how it is asked.
type token struct {
	e      *env
	md     map[string]string
	err    error
	secure bool
}

func (t token) RequireTransportSecurity() bool { return t.secure }

func (t token) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	ri, ok := credentials.RequestInfoFromContext(ctx)
	t.e.client("asked for %q, method %q %v, authentication info %v", uri, ri.Method, ok, ri.AuthInfo != nil)
	return t.md, t.err
}

// credsCases are about credentials of calls and of connections.
func credsCases() []testCase {
	serve := func(e *env) Endpoint {
		return e.serve(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			e.server("%s", showMD(pick(md, "authorization", "k", "k-bin", "both")))
			return m, nil
		}, bidi: func(ss grpc.ServerStream) error {
			md, _ := metadata.FromIncomingContext(ss.Context())
			e.server("%s", showMD(pick(md, "authorization", "k", "k-bin", "both")))
			return nil
		}})
	}
	call := func(e *env, c client, opts ...grpc.CallOption) {
		ctx := metadata.AppendToOutgoingContext(e.ctx, "both", "from the caller")
		e.client("unary: %s", showReply(c.unary(ctx, text("x"), opts...)))
		cs, err := c.bidi(ctx, opts...)
		e.client("bidi: %s", showError(err))
		if err == nil {
			e.recv(cs)
		}
	}
	good := map[string]string{"Authorization": "Bearer t", "k-bin": "\x00\xff", "both": "from the token"}
	return []testCase{
		{"creds/of the client", "The client's per-call credentials add their metadata to every call, in lower case, before the caller's.", func(e *env) {
			call(e, e.dial(serve(e), authority("authority.test"), func(cfg *ClientConfig) { cfg.PerRPCCredentials = token{e: e, md: good} }))
		}},
		{"creds/of a call", "A call's credentials add their metadata to that call.", func(e *env) {
			call(e, e.dial(serve(e), authority("authority.test")), grpc.PerRPCCredentials(token{e: e, md: good}))
		}},
		{"creds/of both", "The credentials of client and call are both asked and both sent.", func(e *env) {
			c := e.dial(serve(e), authority("authority.test"), func(cfg *ClientConfig) {
				cfg.PerRPCCredentials = token{e: e, md: map[string]string{"k": "client"}}
			})
			call(e, c, grpc.PerRPCCredentials(token{e: e, md: map[string]string{"k": "call"}}))
		}},
		{"creds/that fail", "Credentials that fail, fail the call: a status as it is unless its code is one that only servers give, other errors as Unauthenticated or Internal.", func(e *env) {
			ep := serve(e)
			for _, err := range []error{
				errors.New("plain"), status.Error(codes.PermissionDenied, "a status"), status.Error(codes.Unavailable, "try again"),
				status.Error(codes.NotFound, "a server's code"), status.Error(codes.InvalidArgument, "another"), context.Canceled,
			} {
				e.client("of the call: %s", showError(err))
				call(e, e.dial(ep, authority("authority.test")), grpc.PerRPCCredentials(token{e: e, err: err}))
				e.client("of the client: %s", showError(err))
				call(e, e.dial(ep, authority("authority.test"), func(cfg *ClientConfig) { cfg.PerRPCCredentials = token{e: e, err: err} }))
			}
		}},
		{"creds/with bad metadata", "Credentials that give an invalid key or value fail the call with Internal.", func(e *env) {
			c := e.dial(serve(e), authority("authority.test"))
			for _, md := range []map[string]string{{"a b": "v"}, {"k": "\n"}, {"": "v"}} {
				call(e, c, grpc.PerRPCCredentials(token{e: e, md: md}))
			}
		}},
		{"creds/that want a secure connection", "Credentials that require transport security are refused on a connection that has none, before they are asked.", func(e *env) {
			call(e, e.dial(serve(e), authority("authority.test")), grpc.PerRPCCredentials(token{e: e, md: good, secure: true}))
		}},
		{"creds/security level", "RequestInfo and peer tell the security level of the connection, on both sides.", securityLevels},
		{"creds/peer", "The handler finds its peer in the context, with both addresses; the client gets it with grpc.Peer, and finds it in the context of a stream.", peers},
	}
}

// level describes authentication info, of whatever type.
func level(info credentials.AuthInfo) string {
	if info == nil {
		return "no authentication info"
	}
	common, ok := info.(interface {
		GetCommonAuthInfo() credentials.CommonAuthInfo
	})
	if !ok {
		return info.AuthType() + " without a level"
	}
	return info.AuthType() + " at " + common.GetCommonAuthInfo().SecurityLevel.String()
}

type levelToken struct{ token }

func (t levelToken) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	ri, _ := credentials.RequestInfoFromContext(ctx)
	t.e.client("request info: %s", level(ri.AuthInfo))
	return nil, nil
}

func securityLevels(e *env) {
	c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
		if p, ok := peer.FromContext(ctx); ok {
			e.server("peer: %s", level(p.AuthInfo))
		}
		return m, nil
	}})
	var p peer.Peer
	m, err := c.unary(e.ctx, text("x"), grpc.PerRPCCredentials(levelToken{token{e: e}}), grpc.Peer(&p))
	e.client("%s", showReply(m, err))
	e.client("peer: %s", level(p.AuthInfo))
}

func peers(e *env) {
	describe := func(ctx context.Context) string {
		p, ok := peer.FromContext(ctx)
		if !ok {
			return "no peer"
		}
		return showPeer(p)
	}
	c := e.pair(handlers{
		unary: func(ctx context.Context, m *message) (*message, error) {
			e.server("unary: %s", describe(ctx))
			return m, nil
		},
		bidi: func(ss grpc.ServerStream) error {
			e.server("bidi: %s", describe(ss.Context()))
			return ss.SendMsg(text("x"))
		},
	})
	var p peer.Peer
	m, err := c.unary(e.ctx, text("x"), grpc.Peer(&p))
	e.client("%s: %s", showReply(m, err), showPeer(&p))
	cs, err := c.bidi(e.ctx)
	e.client("open: %s", showError(err))
	e.recv(cs)
	e.client("context: %s", describe(cs.Context()))
	e.recv(cs)
}

func showPeer(p *peer.Peer) string {
	var b strings.Builder
	if p.Addr != nil {
		b.WriteString("address of " + p.Addr.Network())
	} else {
		b.WriteString("no address")
	}
	if p.LocalAddr != nil {
		b.WriteString(", local address of " + p.LocalAddr.Network())
	}
	if p.AuthInfo != nil {
		b.WriteString(", authentication info")
	}
	return b.String()
}
