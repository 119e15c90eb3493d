package host

import (
	"context"
	"sync"
	"time"
)

// Hooks are functions that a host calls at certain moments, for logs and metrics.
// They may be nil, must be safe for concurrent use, and hold up what they are told
// of: they should not block, and must not close the host. [Host.Inspect] tells how
// things are at any moment.
type Hooks struct {
	// Status is called when the host begins to serve a target or to dial one, and
	// when it closes.
	Status func(Status)
	// Accept is called when another host has dialled this one, and has said who it
	// is. Connect is called when this host has dialled another, and knows what
	// that exports; again after each reconnecting. Links of one host may be told of
	// twice, when there is more than one.
	Accept  func(*Link)
	Connect func(*Link)
	// Exports is called when a peer has announced what it exports, or a change.
	Exports func(*Link, ExportsChange)
	// Leave is called when the peer of a link that was told of has given notice that
	// it is shutting down: it counts as a provider no longer, and answers what it has
	// taken. The reason is its own text. Disconnect follows.
	Leave func(l *Link, reason string)
	// Disconnect is called when a link that was told of has ended, with the reason.
	Disconnect func(*Link, error)
	// Message is called for each message of a call that the host serves: a request
	// that was received, a reply that was sent. The context is the call's.
	Message func(context.Context, MessageInfo)
	// Call is called when a call that the host has served has ended, also if it was
	// refused. A one-way call has ended when it was taken.
	Call func(context.Context, CallResult)
	// Error is called when a one-way call, which was answered already, has
	// ended with an error.
	Error func(ctx context.Context, path string, err error)
	// Panic is called, on the goroutine of the call, when an exported function
	// has panicked.
	Panic func(context.Context, PanicInfo)
}

// WithHooks sets the host's hooks.
func WithHooks(h Hooks) Option {
	return hostOption(func(c *config) { c.hooks = h })
}

// WithPanicCrash ends the process when an exported function panics, after the log
// and the hook: for those who would rather not go on with what a panic has left
// behind. Without it the caller gets the code Internal, and the host goes on.
func WithPanicCrash() Option {
	return hostOption(func(c *config) { c.panicCrashes = true })
}

// State is what a host does.
type State string

// States of a host and of what it listens on or dials.
const (
	Serving    State = "serving"    // a target is served
	Connecting State = "connecting" // a target is being dialled
	Waiting    State = "waiting"    // dialling again has failed, and will be tried later
	Closing    State = "closing"    // no more calls are taken
	Closed     State = "closed"
)

// Status is a change of what a host does.
type Status struct {
	State State
	// Target is what is served or dialled, empty if it is about the host.
	Target string
	// Err is why a target couldn't be dialled.
	Err error
}

// ExportsChange is what a peer has announced.
type ExportsChange struct {
	// Full tells that this is the beginning: all that is not in it is gone.
	Full bool
	// Added are services that are new or different, Removed those that are gone,
	// Refused those that the peer may not announce.
	Added, Removed, Refused []string
}

// MessageInfo is about one message.
type MessageInfo struct {
	// Path is that of the call.
	Path string
	// Sent tells that it is a reply, and not a request.
	Sent bool
	// Size is that of the encoded message, in bytes.
	Size int
}

// CallResult is about a call that has ended.
type CallResult struct {
	CallInfo
	// Duration is how long the host has been at it.
	Duration time.Duration
	// Err is the status that the caller gets, or nil.
	Err error
}

// statusOnce is status for what happens once.
func (h *Host) statusOnce(once *sync.Once, s State) {
	once.Do(func() { h.status(Status{State: s}) })
}

func (h *Host) status(s Status) {
	if hook := h.hooks.Status; hook != nil {
		hook(s)
	}
}

// linkedUp tells that a link stands.
func (h *Host) linkedUp(l *Link) {
	l.tell.Lock()
	defer l.tell.Unlock()
	if l.told != untold {
		return // it has ended already
	}
	l.told = toldUp
	hook := h.hooks.Accept
	if l.dial != nil {
		hook = h.hooks.Connect
	}
	if hook != nil {
		hook(l)
	}
	if l.notice != nil {
		h.tellLeave(l, *l.notice)
	}
}

// leaving is told that the peer of a link takes no more calls.
func (h *Host) leaving(l *Link, reason string) {
	l.notified.Store(true)
	h.peers.retire(l)
	l.tell.Lock()
	defer l.tell.Unlock()
	switch l.told {
	case untold:
		l.notice = &reason // after the hook that the link stands
	case toldUp:
		h.tellLeave(l, reason)
	}
}

func (h *Host) tellLeave(l *Link, reason string) {
	if hook := h.hooks.Leave; hook != nil {
		hook(l, shorten(reason))
	}
}

// unlinked tells that a link has ended, if anybody knows of it.
func (h *Host) unlinked(l *Link) {
	l.tell.Lock()
	defer l.tell.Unlock()
	if hook := h.hooks.Disconnect; hook != nil && l.told == toldUp {
		hook(l, l.Err())
	}
	l.told = toldDown
}

// telling is how far hooks have been told of a link: once each, and in order.
type telling struct {
	tell   sync.Mutex
	told   int
	notice *string // why the peer is leaving, if it has said so before anything was told
}

const (
	untold = iota
	toldUp
	toldDown
)
