package bench

import (
	"math/bits"
	"time"
)

// Each power of two of nanoseconds is cut into 128 buckets, so that a figure read
// back is off by less than 1%.
const (
	subBits = 7
	subs    = 1 << subBits
	buckets = (64 - subBits + 1) * subs
)

// Histogram counts durations. Its size is fixed, recording allocates nothing. The
// zero value is empty. It is for one goroutine at a time.
type Histogram struct {
	counts [buckets]uint32
	n      uint64
	sum    time.Duration
	most   time.Duration
}

// Record counts d.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.n++
	h.sum += d
	h.most = max(h.most, d)
}

// Add counts all that other did.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.n += other.n
	h.sum += other.sum
	h.most = max(h.most, other.most)
}

// Quantile is the duration that the part q of all does not exceed: 0.5 gives the
// median. It is 0 if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.n))
	var seen uint64
	for i, n := range h.counts {
		seen += uint64(n)
		if seen > rank || seen == h.n && n > 0 {
			return min(middleOf(i), h.most)
		}
	}
	return 0
}

// Mean is the mean, or 0 if there are none.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return h.sum / time.Duration(h.n)
}

// bucketOf keeps the topmost subBits+1 bits of a duration: the first buckets hold one
// nanosecond each.
func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// middleOf is the middle of a bucket.
func middleOf(i int) time.Duration {
	shift := max(i>>subBits-1, 0)
	v := uint64(i-shift<<subBits) << shift
	return time.Duration(v + 1<<shift>>1)
}
