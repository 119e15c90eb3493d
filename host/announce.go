package host

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

const (
	// announcementSize is where the frame of a large announcement ends.
	announcementSize = 64 << 10
	// maxAnnouncement bounds what one service may take in an announcement, so
	// that any frame stays well below maxFrame.
	maxAnnouncement = 1 << 20
)

// audience are the links that are told what a host exports. It is guarded by
// exports.mu.
type audience struct {
	links      map[*Link]*listener
	generation uint64 // of the exports: how often they have changed
}

// listener is how far a link has been told. What changes while it can't be told
// more is remembered by name only: a peer that doesn't read costs no more than
// the names of what there is.
type listener struct {
	told    uint64              // the generation that it knows
	changed map[string]struct{} // since then
	full    bool                // it knows nothing yet

	// An announcement that is being told, frame by frame.
	generation uint64
	base       uint64
	added      []*carpv1.Export
	removed    []string
}

// join begins to tell a link of everything that is exported, and from then on of
// every change.
func (x *exports) join(l *Link) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.audience.links[l] = &listener{full: true, changed: make(map[string]struct{})}
}

// leave forgets a link.
func (x *exports) leave(l *Link) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.audience.links, l)
}

// announce has everyone told that a service is different, or gone. It is called
// with mu held.
func (x *exports) announce(name string) {
	x.audience.generation++
	for l, to := range x.audience.links {
		if !to.full {
			to.changed[name] = struct{}{}
		}
		l.frames.Announce()
	}
}

// next is the next frame of announcements for a link, or nil if it knows all.
func (x *exports) next(l *Link) *carpv1.Exports {
	x.mu.Lock()
	defer x.mu.Unlock()
	to := x.audience.links[l]
	if to == nil || !x.begin(to) {
		return nil
	}
	n := fitting(to.added)
	e := &carpv1.Exports{
		Generation: to.generation,
		Base:       to.base,
		Full:       to.base == 0,
		Added:      to.added[:n],
		Removed:    to.removed,
		More:       n < len(to.added),
	}
	to.added, to.removed = to.added[n:], nil
	if !e.GetMore() {
		to.told, to.added, to.generation = to.generation, nil, 0
	}
	return e
}

// begin collects what a link is to be told, unless it is being told something. It
// reports whether there is anything.
func (x *exports) begin(to *listener) bool {
	if to.generation != 0 {
		return true
	}
	if !to.full && len(to.changed) == 0 {
		return false
	}
	to.generation, to.base = x.audience.generation, to.told
	if to.full {
		to.full = false
		for _, s := range x.allLocked() {
			if !s.internal {
				to.added = append(to.added, s.announcement())
			}
		}
		return true
	}
	for _, name := range slices.Sorted(maps.Keys(to.changed)) {
		if s := x.services[name]; s != nil {
			to.added = append(to.added, s.announcement())
		} else {
			to.removed = append(to.removed, name)
		}
	}
	clear(to.changed)
	return true
}

// fitting is how many exports go into one frame: at least one, if there are any.
func fitting(all []*carpv1.Export) int {
	size := 0
	for i, e := range all {
		if size += proto.Size(e); size > announcementSize && i > 0 {
			return i
		}
	}
	return len(all)
}
