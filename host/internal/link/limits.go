package link

import (
	"google.golang.org/grpc/metadata"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

const (
	// MaxInline is the largest payload that travels inside its frame, and the
	// largest piece of one that doesn't.
	MaxInline = 64 << 10
	// minCost is the least that a chunk counts against the windows, so that
	// tiny ones can't be sent without bound.
	minCost = 64
	// maxOutgoing bounds the calls in flight to a peer, whatever it allows.
	maxOutgoing = 1 << 16
	// maxWindow is the largest window; credit beyond it is a protocol error.
	maxWindow = 1<<31 - 1
	// perEntry is what each metadata entry counts beyond its key and value.
	perEntry = 32
)

// Limits is what one end is willing to receive. Zero fields are the defaults of
// carp.v1.Limits.
type Limits struct {
	CallWindow  int64 // bytes of chunks under way for one call
	LinkWindow  int64 // the same for all calls together
	MaxPayload  int64 // bytes of one payload
	MaxCalls    int   // calls in flight
	MaxMetadata int   // bytes of one call's or reply's metadata
	Pool        int64 // bytes of large payloads being received; at least MaxPayload
}

func orDefault[T int | int64](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

func (l Limits) withDefaults() Limits {
	l.CallWindow = min(max(orDefault(l.CallWindow, 64<<10), MaxInline), maxWindow)
	l.LinkWindow = min(max(orDefault(l.LinkWindow, 1<<20), MaxInline), maxWindow)
	l.MaxPayload = min(orDefault(l.MaxPayload, 4<<20), maxWindow)
	l.MaxCalls = min(orDefault(l.MaxCalls, 1024), 1<<20)
	l.MaxMetadata = min(orDefault(l.MaxMetadata, 8<<10), maxWindow)
	l.Pool = max(orDefault(l.Pool, 32<<20), l.MaxPayload)
	return l
}

func (l Limits) toProto() *carpv1.Limits {
	return &carpv1.Limits{
		CallWindow:  uint64(l.CallWindow),
		LinkWindow:  uint64(l.LinkWindow),
		MaxPayload:  uint64(l.MaxPayload),
		MaxCalls:    uint32(l.MaxCalls),
		MaxMetadata: uint32(l.MaxMetadata),
	}
}

// peerLimits reads a peer's limits. Whatever it claims is brought into the range
// in which this end can count.
func peerLimits(p *carpv1.Limits) Limits {
	clamp := func(v uint64) int64 { return int64(min(v, maxWindow)) }
	l := Limits{
		CallWindow:  clamp(p.GetCallWindow()),
		LinkWindow:  clamp(p.GetLinkWindow()),
		MaxPayload:  clamp(p.GetMaxPayload()),
		MaxCalls:    int(min(p.GetMaxCalls(), 1<<20)),
		MaxMetadata: int(clamp(uint64(p.GetMaxMetadata()))),
	}
	return l.withDefaults()
}

// metadataSize is what md counts against MaxMetadata.
func metadataSize(md metadata.MD) int {
	n := 0
	for k, vs := range md {
		for _, v := range vs {
			n += len(k) + len(v) + perEntry
		}
	}
	return n
}

func appendMetadata(out []*carpv1.Metadata, md metadata.MD, header bool) []*carpv1.Metadata {
	for k, vs := range md {
		for _, v := range vs {
			out = append(out, &carpv1.Metadata{Key: k, Value: []byte(v), Header: header})
		}
	}
	return out
}

// splitMetadata sorts a frame's metadata into header and trailer. It returns
// false if there is more than limit allows.
func splitMetadata(in []*carpv1.Metadata, limit int) (header, trailer metadata.MD, ok bool) {
	size := 0
	for _, m := range in {
		size += len(m.GetKey()) + len(m.GetValue()) + perEntry
		if size > limit {
			return nil, nil, false
		}
		md := &trailer
		if m.GetHeader() {
			md = &header
		}
		if *md == nil {
			*md = make(metadata.MD)
		}
		md.Append(m.GetKey(), string(m.GetValue()))
	}
	return header, trailer, true
}
