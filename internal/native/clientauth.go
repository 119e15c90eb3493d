package native

import (
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
func (c *clientCall) authenticate(p *peer.Peer, authority string) ([]string, error) {
	if len(c.client.cfg.PerRPC) == 0 && c.info.creds == nil {
		return nil, nil
	}
	ctx := credentials.NewContextWithRequestInfo(c.ctx, credentials.RequestInfo{Method: c.method, AuthInfo: p.AuthInfo})
	service := c.method
	if i := strings.LastIndex(service, "/"); i >= 0 {
		service = service[:i]
	}
	audience := "https://" + strings.TrimSuffix(authority, ":443") + service
	var pairs []string
	for i, creds := range append(c.client.cfg.PerRPC[:len(c.client.cfg.PerRPC):len(c.client.cfg.PerRPC)], c.info.creds) {
		if creds == nil {
			continue
		}
		if creds.RequireTransportSecurity() {
			if err := credentials.CheckSecurityLevel(p.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
				return nil, status.Error(codes.Unauthenticated, "transport: cannot send secure credentials on an insecure connection")
			}
		}
		md, err := creds.GetRequestMetadata(ctx, audience)
		if err != nil {
			ofCall := i == len(c.client.cfg.PerRPC)
			return nil, credsError(err, ofCall)
		}
		for k, v := range md {
			k = strings.ToLower(k)
			if err := validatePair(k, v); err != nil {
				return nil, status.Error(codes.Internal, err.Error())
			}
			pairs = append(pairs, k, v)
		}
	}
	return pairs, nil
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
