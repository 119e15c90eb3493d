package link

import (
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// The versions of the protocol that this package speaks.
const (
	minVersion = 1
	maxVersion = 1
)

// maxHello bounds the encoded Hello of a peer.
const maxHello = 64 << 10

// Features of a peer.
const (
	Streams = "streams" // it serves calls with items
	Tunnel  = "tunnel"  // it opens tunnels when asked, or takes them
)

// RefusedKey is in the trailer of a reply to a call that has not been handed to
// user code.
const RefusedKey = "carp-refused"

// known are the features that a peer may require.
var known = []string{Streams, Tunnel}

// PeerHas reports whether the peer has said that it has a feature.
func (l *Link) PeerHas(feature string) bool {
	return slices.Contains(l.Peer().GetFeatures(), feature)
}

// hello completes what the host says of itself with what this package knows.
func hello(cfg *Config) *carpv1.Hello {
	h := proto.CloneOf(cfg.Hello)
	h.MinVersion, h.MaxVersion = minVersion, maxVersion
	h.Limits = cfg.Limits.toProto()
	h.Features = append(h.Features, Streams)
	return h
}

// checkHello says whether a link with the sender of h is possible.
func checkHello(h *carpv1.Hello) error {
	if proto.Size(h) > maxHello {
		return violation("its hello is larger than %d bytes", maxHello)
	}
	if h.GetMinVersion() > maxVersion || h.GetMaxVersion() < minVersion {
		return refusal(codes.FailedPrecondition, "no common version: the peer speaks %d to %d, this end %d to %d",
			h.GetMinVersion(), h.GetMaxVersion(), minVersion, maxVersion)
	}
	for _, f := range h.GetRequiredFeatures() {
		if !slices.Contains(known, f) {
			return refusal(codes.FailedPrecondition, "the peer requires the feature %q, which this end lacks", f)
		}
	}
	return nil
}
