package host

import (
	"google.golang.org/protobuf/proto"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/host/internal/link"
)

const (
	// announcementSize is where the frame of a large announcement ends.
	announcementSize = 64 << 10
	// maxAnnouncement bounds what one service may take in an announcement, so
	// that any frame stays well below maxFrame.
	maxAnnouncement = 1 << 20
)

// audience are the links that are told what a host exports. It is guarded by
// exports.mu, under which announcements are queued: each link sees one state of
// everything, and then each change, in order.
type audience struct {
	links      map[*link.Link]struct{}
	generation uint64
}

// join tells a new link everything that is exported, and from then on every
// change.
func (x *exports) join(l *link.Link) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.audience.links[l] = struct{}{}
	var all []*carpv1.Export
	for _, s := range x.allLocked() {
		if !s.internal {
			all = append(all, s.announcement())
		}
	}
	for {
		n := fitting(all)
		l.Announce(&carpv1.Exports{
			Generation: x.audience.generation,
			Full:       true,
			Added:      all[:n],
			More:       n < len(all),
		})
		if all = all[n:]; len(all) == 0 {
			return
		}
	}
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

// leave forgets a link.
func (x *exports) leave(l *link.Link) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.audience.links, l)
}

// announce tells everyone that a service is different, or gone if s is nil. It
// is called with mu held.
func (x *exports) announce(name string, s *service) {
	x.audience.generation++
	e := &carpv1.Exports{Generation: x.audience.generation, Base: x.audience.generation - 1}
	if s == nil {
		e.Removed = []string{name}
	} else {
		e.Added = []*carpv1.Export{s.announcement()}
	}
	for l := range x.audience.links {
		l.Announce(e)
	}
}
