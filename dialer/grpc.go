package dialer

import (
	"context"
	"net"
	"net/url"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
)

// GRPC returns what grpc.NewClient needs to reach target, by the default
// [Config].
func GRPC(target string) (string, []grpc.DialOption, error) { return (*Config)(nil).GRPC(target) }

// GRPC returns what a stock grpc.NewClient needs to reach target:
//
//	target, opts, err := dialer.GRPC("shm:///run/app.sock")
//	if err != nil { … }
//	cc, err := grpc.NewClient(target, opts...)
//
// The options bring credentials along, and for unix and shm targets a dialer and
// a resolver that belong to this one client: nothing is registered with gRPC. The
// :authority of those is "localhost", which every HTTP/2 server accepts. A tcp
// target becomes "dns:///host:port" with Config.TCP as its credentials, so that it
// is resolved and balanced, and goes through proxies, as gRPC always does;
// without Config.TCP it is an error that wraps [ErrNoCredentials].
//
// The options fit the returned target only. Options that follow them take
// precedence, as always with gRPC.
func (c *Config) GRPC(target string) (string, []grpc.DialOption, error) {
	t, err := Parse(target)
	if err != nil {
		return "", nil, err
	}
	if err := t.checkDial(); err != nil {
		return "", nil, &Error{Op: "dial", Target: target, Err: err}
	}
	if t.Network == TCP {
		return c.grpcTCP(target, t)
	}
	return t.url(), []grpc.DialOption{
		grpc.WithResolvers(fixedResolver{t}),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return c.dialAs(ctx, target, t) }),
		grpc.WithTransportCredentials(c.Credentials()),
	}, nil
}

func (c *Config) grpcTCP(target string, t Target) (string, []grpc.DialOption, error) {
	if c == nil || c.TCP == nil {
		return "", nil, &Error{Op: "dial", Target: target, Err: ErrNoCredentials}
	}
	return "dns:///" + escape(t.Address), []grpc.DialOption{grpc.WithTransportCredentials(c.TCP)}, nil
}

// url is String in a form that gRPC's parser, which takes targets for URLs, reads
// back whatever characters a path has.
func (t Target) url() string { return t.join(escape(t.endpoint())) }

// escape percent-encodes what may not stand in a URL's path. The slash it works
// behind keeps a first element with a colon from looking like a scheme.
func escape(s string) string { return (&url.URL{Path: "/" + s}).EscapedPath()[1:] }

// fixedResolver resolves one target to itself: what to dial is the dialer's to know.
type fixedResolver struct{ target Target }

var (
	_ resolver.Builder            = fixedResolver{}
	_ resolver.AuthorityOverrider = fixedResolver{}
)

// Scheme implements [resolver.Builder].
func (r fixedResolver) Scheme() string { return r.target.scheme() }

// Build implements [resolver.Builder].
func (r fixedResolver) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	return r, cc.UpdateState(resolver.State{Addresses: []resolver.Address{{Addr: r.target.String()}}})
}

// OverrideAuthority implements [resolver.AuthorityOverrider]. Strict HTTP/2 servers
// refuse a path as authority.
func (fixedResolver) OverrideAuthority(resolver.Target) string { return "localhost" }

// ResolveNow implements [resolver.Resolver]. A fixed address never changes.
func (fixedResolver) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements [resolver.Resolver].
func (fixedResolver) Close() {}
