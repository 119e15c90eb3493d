package host

import (
	"time"

	"google.golang.org/protobuf/proto"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// announcingRate is how much a peer may announce: at once, and in the long run. It is
// counted in bytes of announcements, and changeCost for each of them and each service in
// them. The burst has room for all that there may be.
type announcingRate struct{ burst, perSecond int }

const changeCost = 256

// costOf is what an announcement counts.
func costOf(e *carpv1.Exports) int {
	return proto.Size(e) + changeCost*(1+len(e.GetAdded())+len(e.GetRemoved()))
}

// pace tells a reader how long to wait, so that it takes what a rate allows. The zero pace
// has taken nothing yet.
type pace struct {
	owed  float64 // of the burst
	since time.Time
}

// take counts n, and returns how long the reader has to wait before it takes more.
func (p *pace) take(rate announcingRate, now time.Time, n int) time.Duration {
	if !p.since.IsZero() {
		p.owed = max(0, p.owed-now.Sub(p.since).Seconds()*float64(rate.perSecond))
	}
	p.since = now
	p.owed += float64(n)
	over := p.owed - float64(rate.burst)
	if over <= 0 {
		return 0
	}
	return time.Duration(over / float64(rate.perSecond) * float64(time.Second))
}

// slow waits when the peer announces faster than it may. What it sends meanwhile waits in
// its transport, and hosts merge the changes that wait. It is called by the reader of
// the link, and returns when that ends.
func (l *Link) slow(e *carpv1.Exports) {
	wait := l.pace.take(l.host.announcing, time.Now(), costOf(e))
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.frames.Context().Done():
	}
}
