package host

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// counters count the calls that a host serves, by path.
type counters struct {
	paths sync.Map // path → *counter; only of what is, or was, exported
	// refused are the calls that no method was called by.
	refused atomic.Uint64
}

// counter counts the calls of one method.
type counter struct {
	inFlight atomic.Int64
	ended    atomic.Uint64
	failed   atomic.Uint64
	total    atomic.Int64 // nanoseconds
	longest  atomic.Int64
	buckets  [latencyBuckets]atomic.Uint64
}

// enter counts in a call of what is exported at path.
func (c *counters) enter(path string) *counter {
	v, ok := c.paths.Load(path)
	if !ok {
		v, _ = c.paths.LoadOrStore(path, new(counter))
	}
	n := v.(*counter)
	n.inFlight.Add(1)
	return n
}

// observed runs a call, counts it and tells the hook.
func (h *Host) observed(c *call) error {
	begun := time.Now()
	err := h.run(c)
	took := time.Since(begun)
	if n := c.counter; n != nil {
		n.end(took, err != nil)
	} else {
		h.counts.refused.Add(1)
	}
	if hook := h.hooks.Call; hook != nil && !strings.HasPrefix(c.path, peerPrefix) {
		r := CallResult{CallInfo: c.info(), Duration: took}
		if err != nil {
			r.Err = statusOf(err).Err()
		}
		hook(c.ctx, r)
	}
	return err
}

func (n *counter) end(took time.Duration, failed bool) {
	n.inFlight.Add(-1)
	n.ended.Add(1)
	if failed {
		n.failed.Add(1)
	}
	n.total.Add(int64(took))
	n.buckets[bucketOf(took)].Add(1)
	for {
		longest := n.longest.Load()
		if int64(took) <= longest || n.longest.CompareAndSwap(longest, int64(took)) {
			return
		}
	}
}
