package host

import (
	"math/bits"
	"slices"
	"strings"
	"time"
)

// Snapshot is how things are with a host at one moment. Its numbers are read one
// after the other while the host goes on. It has a form in every codec, so that a
// host that wants to be asked from afar exports it, and its authorizer guards it:
//
//	h.Export("Inspect", h.Inspect)
type Snapshot struct {
	HostID string
	Label  string
	Links  []LinkSnapshot
	// Exports are in the order of their names.
	Exports []ExportSnapshot
	// InFlight are calls that are being served, without those of Links.
	InFlight int64
	// Refused are calls that came to no method: of unknown names, or against the
	// authorizer.
	Refused uint64
}

// LinkSnapshot is one link.
type LinkSnapshot struct {
	PeerID    string
	PeerLabel string
	Target    string // see [Link.Target]
	Dialled   bool   // by this host
	// Provides tells that calls may go over it: of several links with one host
	// one does.
	Provides bool
	// Announced are the services that the peer exports, sorted, and Refused those
	// that it may not.
	Announced []string
	Refused   []string
	// Objects are those of this host, callbacks among them, that the peer holds.
	Objects int
}

// ExportSnapshot is one service, with its methods in the order of their names.
type ExportSnapshot struct {
	Service string
	Version string
	Methods []MethodSnapshot
}

// MethodSnapshot counts the calls of one method since the host was made, also
// under former exports of the name.
type MethodSnapshot struct {
	Method   string
	InFlight int64
	Ended    uint64
	Failed   uint64        // of those that have ended
	Total    time.Duration // of those that have ended, added up
	Longest  time.Duration
	// Latencies counts those that have ended by how long they took: the first
	// below 1 µs, each further one below twice as much as the one before, the last
	// all that took longer.
	Latencies []uint64
}

// latencyBuckets are enough for a minute.
const latencyBuckets = 28

// bucketOf is the place of a duration among the latencies.
func bucketOf(d time.Duration) int {
	return min(bits.Len64(uint64(max(d, 0)/time.Microsecond)), latencyBuckets-1)
}

// Quantile is a bound of the time that a share of the calls, 0.5 or 0.99, took at
// most. It is not more than twice the time it bounds, but for times below 1 µs, and
// 0 if no calls have ended.
func (m *MethodSnapshot) Quantile(share float64) time.Duration {
	var all, below uint64
	for _, n := range m.Latencies {
		all += n
	}
	for i, n := range m.Latencies {
		if below += n; n > 0 && float64(below) >= share*float64(all) {
			return min(time.Microsecond<<i, m.Longest)
		}
	}
	return m.Longest
}

// Inspect takes a snapshot: links, exports, calls in flight, counts and latencies.
func (h *Host) Inspect() Snapshot {
	s := Snapshot{HostID: h.id, Label: h.label, Refused: h.counts.refused.Load()}
	for _, l := range h.Links() {
		s.Links = append(s.Links, h.peers.snapshot(l))
	}
	slices.SortFunc(s.Links, func(a, b LinkSnapshot) int {
		return strings.Compare(a.PeerLabel+"\x00"+a.PeerID, b.PeerLabel+"\x00"+b.PeerID)
	})
	for _, x := range h.exports.all() {
		e := ExportSnapshot{Service: x.name, Version: x.version}
		for _, method := range sortedKeys(x.methods) {
			path := joinPath(x.name, method)
			m := h.counts.snapshot(path)
			m.Method = method
			if !strings.HasPrefix(path, peerPrefix) {
				s.InFlight += m.InFlight
			}
			e.Methods = append(e.Methods, m)
		}
		s.Exports = append(s.Exports, e)
	}
	return s
}

func (c *counters) snapshot(path string) MethodSnapshot {
	v, ok := c.paths.Load(path)
	if !ok {
		return MethodSnapshot{}
	}
	n := v.(*counter)
	m := MethodSnapshot{
		InFlight: n.inFlight.Load(), Ended: n.ended.Load(), Failed: n.failed.Load(),
		Total: time.Duration(n.total.Load()), Longest: time.Duration(n.longest.Load()),
		Latencies: make([]uint64, latencyBuckets),
	}
	for i := range m.Latencies {
		m.Latencies[i] = n.buckets[i].Load()
	}
	return m
}

func (p *peers) snapshot(l *Link) LinkSnapshot {
	objects := l.objects.count()
	p.mu.RLock()
	defer p.mu.RUnlock()
	return LinkSnapshot{
		PeerID: l.PeerID(), PeerLabel: l.PeerLabel(), Target: l.target,
		Dialled: l.dial != nil, Provides: l.provides,
		Announced: sortedKeys(l.offers), Refused: l.refused.list(),
		Objects: objects,
	}
}

func (r *refusals) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return sortedKeys(r.names)
}
