package native

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// checkAuthority tells whether the peer may be called by an authority of the call's own.
func checkAuthority(p *peer.Peer, authority string) error {
	v, ok := p.AuthInfo.(credentials.AuthorityValidator)
	if !ok {
		return status.Errorf(codes.Unavailable,
			"credentials type %q does not implement the AuthorityValidator interface, but authority override specified with CallAuthority call option", p.AuthInfo.AuthType())
	}
	if err := v.ValidateAuthority(authority); err != nil {
		return status.Errorf(codes.Unavailable, "failed to validate authority %q : %v", authority, err)
	}
	return nil
}

// authenticate is the metadata, names and values in turn, of the credentials that go with
// each call: the client's and the call's own.
func (a *attempt) authenticate(authority string) ([]string, error) {
	c, p := a.call, a.conn.Peer
	if len(c.client.cfg.PerRPC) == 0 && c.info.creds == nil {
		return nil, nil
	}
	ctx := peer.NewContext(a.ctx, p)
	ctx = credentials.NewContextWithRequestInfo(ctx, credentials.RequestInfo{Method: c.method, AuthInfo: p.AuthInfo})
	service := c.method
	if i := strings.LastIndex(service, "/"); i >= 0 {
		service = service[:i]
	}
	audience := "https://" + strings.TrimSuffix(authority, ":443") + service
	shared := map[string]string{} // of the client's credentials, the last one wins
	for _, creds := range c.client.cfg.PerRPC {
		if err := requestMetadata(ctx, creds, p, audience, false, func(k, v string) { shared[k] = v }); err != nil {
			return nil, err
		}
	}
	pairs := make([]string, 0, 2*len(shared)+2)
	for k, v := range shared {
		pairs = append(pairs, k, v)
	}
	if c.info.creds == nil {
		return pairs, nil
	}
	err := requestMetadata(ctx, c.info.creds, p, audience, true, func(k, v string) { pairs = append(pairs, k, v) })
	return pairs, err
}

// requestMetadata gives what creds want to go with a call to add. ofCall says that they are
// the call's own.
func requestMetadata(ctx context.Context, creds credentials.PerRPCCredentials, p *peer.Peer, audience string, ofCall bool, add func(k, v string)) error {
	if creds.RequireTransportSecurity() {
		if err := credentials.CheckSecurityLevel(p.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
			return status.Error(codes.Unauthenticated, "transport: cannot send secure credentials on an insecure connection")
		}
	}
	md, err := creds.GetRequestMetadata(ctx, audience)
	if err != nil {
		return credsError(err, ofCall)
	}
	for k, v := range md {
		k = strings.ToLower(k)
		if err := validatePair(k, v); err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		add(k, v)
	}
	return nil
}

// credsError is the status of credentials that failed. Codes that only applications may
// give are not let through (gRFC A54).
func credsError(err error, ofCall bool) error {
	st, ok := status.FromError(err)
	if !ok {
		if ofCall {
			return status.Errorf(codes.Internal, "transport: per-RPC creds failed due to error: %v", err)
		}
		return status.Errorf(codes.Unauthenticated, "transport: per-RPC creds failed due to error: %v", err)
	}
	switch st.Code() {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition,
		codes.Aborted, codes.OutOfRange, codes.DataLoss:
		return status.Error(codes.Internal, fmt.Sprintf("transport: received per-RPC creds error with illegal status: %v", err))
	}
	return err
}
