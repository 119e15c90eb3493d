package shm

import (
	"errors"
	"fmt"
	"slices"
)

// ErrRefused is wrapped by the error of a dialler whom the listener turned away,
// and of a listener whose offers the dialler turned down.
var ErrRefused = errors.New("refused")

// ErrNotShm is wrapped by the error of an end whose peer speaks something else.
var ErrNotShm = errNotCarp

// Options say what one side of a handshake wants. Every field is set: the zero
// values and defaults are shmconn's.
type Options struct {
	Ring      int      // bytes per direction that we'd like
	RingLimit int      // bytes per direction that we grant at most
	Backings  Backings // that we can use
	Prefer    Backing  // what a listener tries first; 0 is MemFD
	Protos    []string // upper protocols besides the byte stream, preferred first

	// HugePages asks for huge pages in this side's mapping. It is an advice: the
	// memory stays of the ordinary kind, whose holes can always be filled again.
	HugePages bool

	// Allow tells whether the peer may connect; nil lets everybody.
	Allow func(PeerCred) error
}

// order is the backings in set, the preferred one first.
func (o *Options) order(set Backings) (list []Backing) {
	for _, b := range []Backing{o.Prefer, MemFD, SysV} {
		if set.Has(b) && !slices.Contains(list, b) {
			list = append(list, b)
		}
	}
	return list
}

// hello is what a dialler asks for.
func (o *Options) hello() hello {
	wish := ringWish{want: uint32(o.Ring), limit: uint32(o.RingLimit)}
	return hello{
		minVersion: Version, maxVersion: Version,
		backings: o.Backings,
		rings:    [2]ringWish{wish, wish},
		protos:   o.Protos,
	}
}

// answer is what a listener settles from a hello, before it makes a segment.
func (o *Options) answer(h hello) (offer, error) {
	if h.minVersion > Version || h.maxVersion < Version {
		return offer{}, fmt.Errorf("the dialler speaks versions %d to %d of the protocol, the listener version %d",
			h.minVersion, h.maxVersion, Version)
	}
	out := offer{version: Version}
	for i, r := range h.rings {
		n, err := o.grant(r)
		if err != nil {
			return offer{}, err
		}
		out.caps[i] = n
	}
	for _, p := range h.protos {
		if slices.Contains(o.Protos, p) {
			out.proto = p
			break
		}
	}
	return out, nil
}

// grant is the larger of both wishes within the smaller of both limits.
func (o *Options) grant(r ringWish) (int, error) {
	if r.want > MaxRing || r.limit < MinRing {
		return 0, fmt.Errorf("the dialler wants a ring of %d bytes, at most %d: legal are %d to %d",
			r.want, r.limit, MinRing, MaxRing)
	}
	limit := min(o.RingLimit, int(min(r.limit, MaxRing)))
	n := min(max(o.Ring, int(r.want)), limit)
	size := MinRing // the peer's numbers need not be powers of two
	for size*2 <= n {
		size *= 2
	}
	return size, nil
}

// checkOffer makes sure that an offer keeps within what we asked for.
func (o *Options) checkOffer(f offer) error {
	if f.version != Version {
		return fmt.Errorf("%w: offer of version %d, asked for %d", ErrCorrupt, f.version, Version)
	}
	if !o.Backings.Has(f.backing) {
		return fmt.Errorf("%w: offer of backing %v, asked for %v", ErrCorrupt, f.backing, o.Backings)
	}
	for i, n := range f.caps {
		if n > o.RingLimit {
			return fmt.Errorf("%w: offer of ring %d with %d bytes, our limit is %d", ErrCorrupt, i, n, o.RingLimit)
		}
	}
	if f.proto != "" && !slices.Contains(o.Protos, f.proto) {
		return fmt.Errorf("%w: offer of upper protocol %q, asked for %q", ErrCorrupt, f.proto, o.Protos)
	}
	return nil
}
