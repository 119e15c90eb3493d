package shmconn

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// PeerCred is the identity of the peer's process, as the kernel recorded it when the
// connection was made. PID is 0 where the peer lives in a PID namespace that
// can't be seen from here.
type PeerCred = shm.PeerCred

// Backing is a kind of memory that two processes share.
type Backing = shm.Backing

const (
	// MemFD is an anonymous file, sealed against resizing. Its descriptor goes
	// over the socket.
	MemFD = shm.MemFD

	// SysV is a System V segment of mode 0600, whose id is removed before anybody
	// is told of it. It needs no descriptor, but both processes must belong to the
	// same user (or the dialler to root) and share an IPC namespace.
	SysV = shm.SysV
)

// Wait says how an end waits for the other one. It concerns this end only.
type Wait uint8

const (
	// Balanced is the default. A net.Conn sleeps at once when there is nothing
	// to read: under gRPC and other users with many goroutines a spinning
	// reader takes a processor from those it waits for.
	Balanced Wait = iota

	// LatencyFirst spins for up to 50 microseconds before it sleeps, as long as
	// spinning paid off lately. At most half of GOMAXPROCS connections of a
	// process spin at a time, and none where the process has one CPU.
	LatencyFirst

	// PowerFirst never spins.
	PowerFirst
)

// latencyFirstSpin is several times what a round trip takes whose both ends spin,
// and about what waking a core takes that sleeps.
const latencyFirstSpin = 50 * time.Microsecond

// Defaults of a Config.
const (
	DefaultRingSize         = 1 << 20
	DefaultMaxRingSize      = 16 << 20
	DefaultHandshakeTimeout = 5 * time.Second
	DefaultMaxHandshakes    = 256
)

// Config holds the settings of listeners and diallers. A nil *Config and the zero
// value are the defaults. A Config must not be changed once it is in use; it may
// be shared.
type Config struct {
	// RingSize is the wished capacity of each direction in bytes: a power of
	// two from 4 KiB to 64 MiB. Zero is 1 MiB. A connection gets the larger
	// of both sides' wishes, within the smaller of both sides' MaxRingSize.
	//
	// It bounds how far a writer can get ahead of its reader, and hardly costs
	// anything unless one does: a ring that runs empty starts over at its
	// beginning, so only memory for what is under way at a time is ever used.
	// RATIONALE.md has what other sizes cost.
	RingSize int

	// MaxRingSize is the largest capacity that a peer's wish can bring about: a
	// power of two, not below RingSize. Zero is the larger of 16 MiB and
	// RingSize.
	MaxRingSize int

	// Backings are the kinds of memory that may be used; a listener tries them in
	// this order until there is one that both sides can use. Nil is MemFD, and
	// then SysV.
	Backings []Backing

	// HugePages asks the kernel to use huge pages for this end's mapping
	// (MADV_HUGEPAGE). They spare page faults where rings are several MiB large,
	// and take memory 2 MiB at a time. Without effect where
	// /sys/kernel/mm/transparent_hugepage/shmem_enabled is never or deny.
	HugePages bool

	// Wait says how this end waits. Zero is Balanced.
	Wait Wait

	// Allow decides who may connect; an error refuses and is told to the peer.
	// It is called for the dialler by a listener, and for the listener by a
	// dialler; from several goroutines at once. Nil is SameUser.
	Allow func(PeerCred) error

	// HandshakeTimeout bounds each handshake. Zero is 5 s. For a dialler, its
	// context bounds it too.
	HandshakeTimeout time.Duration

	// MaxHandshakes bounds the handshakes that a listener has under way, and the
	// connections that Accept has not returned yet. More wait in the kernel.
	// Handshakes that take long, as of diallers that say nothing, are given up
	// when others need their place. Zero is 256.
	MaxHandshakes int

	// Logger gets failed handshakes (level Info) and the like. Nil drops them.
	Logger *slog.Logger
}

// resolved is a Config with its defaults filled in and checked.
type resolved struct{ Config }

func (c *Config) resolve() (*resolved, error) {
	var r resolved
	if c != nil {
		r.Config = *c
	}
	if r.RingSize == 0 {
		r.RingSize = DefaultRingSize
	}
	if r.MaxRingSize == 0 {
		r.MaxRingSize = max(DefaultMaxRingSize, r.RingSize)
	}
	if r.Backings == nil {
		r.Backings = []Backing{MemFD, SysV}
	}
	if r.Allow == nil {
		r.Allow = SameUser
	}
	if r.HandshakeTimeout == 0 {
		r.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if r.MaxHandshakes == 0 {
		r.MaxHandshakes = DefaultMaxHandshakes
	}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	return &r, r.check()
}

func (r *resolved) check() error {
	if err := shm.CheckRing(r.RingSize); err != nil {
		return fmt.Errorf("Config.RingSize: %w", err)
	}
	if err := shm.CheckRing(r.MaxRingSize); err != nil {
		return fmt.Errorf("Config.MaxRingSize: %w", err)
	}
	if len(r.Backings) == 0 {
		return errors.New("Config.Backings: empty; leave it nil for all")
	}
	for _, b := range r.Backings {
		if b != MemFD && b != SysV {
			return fmt.Errorf("Config.Backings: unknown %v", b)
		}
	}
	switch {
	case r.MaxRingSize < r.RingSize:
		return fmt.Errorf("Config.MaxRingSize: %d is below RingSize, %d", r.MaxRingSize, r.RingSize)
	case r.Wait > PowerFirst:
		return fmt.Errorf("Config.Wait: unknown mode %d", r.Wait)
	case r.HandshakeTimeout < 0:
		return errors.New("Config.HandshakeTimeout: negative")
	case r.MaxHandshakes < 0:
		return errors.New("Config.MaxHandshakes: negative")
	}
	return nil
}

// options are the settings of the handshake. protos are upper protocols that are fine
// too, see package upper.
func (r *resolved) options(protos []string) *shm.Options {
	return &shm.Options{
		Protos:    protos,
		Ring:      r.RingSize,
		RingLimit: r.MaxRingSize,
		Backings:  shm.Of(r.Backings...),
		Prefer:    r.Backings[0],
		HugePages: r.HugePages,
		Allow:     r.Allow,
	}
}

func (r *resolved) spin() time.Duration {
	if r.Wait == LatencyFirst {
		return latencyFirstSpin
	}
	return 0
}
