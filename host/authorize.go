package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/shmconn"
)

// Action is what an [Authorizer] is asked about.
type Action int

// Actions.
const (
	// ActionCall: the peer wants to call a method. Health
	// ("grpc.health.v1.Health") and reflection ("grpc.reflection.v1.ServerReflection"
	// and v1alpha) are called like everything else, and so are the functions that
	// this host has passed to the peer as arguments ("carp.v1.Callback").
	ActionCall Action = iota
	// ActionLink: the peer wants to link with this host. It has not said yet who
	// it is.
	ActionLink
	// ActionAnnounce: the peer says that it exports the service, and calls of it
	// would go there.
	ActionAnnounce
)

// String is "call", "link" or "announce".
func (a Action) String() string {
	switch a {
	case ActionLink:
		return "link"
	case ActionAnnounce:
		return "announce"
	}
	return "call"
}

// Access is what a peer wants.
type Access struct {
	Action Action
	// Peer is who wants it.
	Peer CallerInfo
	// Service and Method are the two parts of a path; a function f is the method
	// "call" of the service "f". Method is empty but for calls, Service if it is
	// about a link.
	Service, Method string
	// Metadata came with the call. It must not be changed.
	Metadata metadata.MD
}

// An Authorizer decides what peers may do. An error refuses: a status as it is,
// any other as PERMISSION_DENIED with its text. It is called by many goroutines,
// before anything of a call is decoded, and even for names that are not exported.
type Authorizer func(ctx context.Context, a *Access) error

// WithAuthorizer has a function decide about every call, link and announcement. It
// is not asked about what the host calls itself. Without one, whoever may connect
// may call.
func WithAuthorizer(a Authorizer) Option {
	return hostOption(func(c *config) { c.authorizer = a })
}

// WithAnnouncements lists the services that peers may announce who are not known to
// be processes of the same user: those on the network above all, and also those
// that this host has dialled. "*" are all, "jobs.*" those that begin with "jobs.".
// Without it there are none: a host takes over a name by announcing it. Processes
// of the same user (and root), over unix sockets and shared memory, may announce
// everything. An authorizer ([WithAuthorizer]) has to agree in either case.
//
// What is refused is logged, told to [Hooks], and named by the errors of those
// that wait for it.
func WithAnnouncements(services ...string) Option {
	return hostOption(func(c *config) { c.announcements = append(c.announcements, services...) })
}

// authorize decides about an incoming call. What links are made of is for those whose
// link was allowed: without one of its own, a peer can call Link and nothing else.
func (h *Host) authorize(c *call) error {
	ofPeer := strings.HasPrefix(c.path, peerPrefix)
	if ofPeer && c.path != carpv1.Peer_Link_FullMethodName && c.link == nil {
		c.wantSession()
		return hostError(codes.FailedPrecondition, "%s: the call belongs to no link or session of this host (metadata %s)",
			pathName(c.path), sessionKey)
	}
	if h.authorizer == nil {
		return nil
	}
	a := &Access{Peer: c.caller(c.ctx)}
	if a.Peer.Local {
		return nil
	}
	var ok bool
	if a.Service, a.Method, ok = splitPath(c.path); !ok {
		return nil // there is nothing of that name
	}
	if ofPeer {
		if a.Method != "Link" {
			return nil // what a link needs that was allowed
		}
		a.Action, a.Service, a.Method = ActionLink, "", ""
	}
	a.Metadata, _ = metadata.FromIncomingContext(c.ctx)
	err := h.authorizer(c.ctx, a)
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return hostError(codes.PermissionDenied, "%s: %v", pathName(c.path), err)
}

var errNotListed = errors.New("the peer is not known to be of the same user, and WithAnnouncements does not list the service")

// mayAnnounce decides whether the peer of a link may say that it exports a service.
func (h *Host) mayAnnounce(l *Link, trusted bool, service string) error {
	if !trusted && !listed(h.announcements, service) {
		return errNotListed
	}
	if h.authorizer == nil {
		return nil
	}
	return h.authorizer(l.frames.Context(), &Access{Action: ActionAnnounce, Peer: l.info(), Service: service})
}

// sameUser reports whether the kernel says of the peer that it is trusted with
// everything this process could do.
func (l *Link) sameUser() bool {
	if l.peer == nil {
		return false
	}
	auth, ok := l.peer.AuthInfo.(dialer.AuthInfo)
	// Where the system doesn't tell, the socket's permissions have decided.
	return ok && (auth.UID == dialer.NoID || shmconn.SameUser(auth.PeerCred) == nil)
}

func listed(patterns []string, service string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, wild := strings.CutSuffix(p, "*")
		return p == service || wild && strings.HasPrefix(service, prefix)
	})
}

// refusals are the services that a peer has announced and may not.
type refusals struct {
	mu    sync.Mutex
	names map[string]struct{}
}

// has reports whether a service was refused.
func (r *refusals) has(service string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.names[service]
	return ok
}

// refusedBy lists the hosts that announce a service and may not, for error texts.
func (h *Host) refusedBy(service string) string {
	var all []string
	for _, l := range h.peers.all() {
		if l.refused.has(service) {
			all = append(all, fmt.Sprintf("host %q (%s) announces it, and may not, see WithAnnouncements and WithAuthorizer",
				shorten(l.PeerLabel()), l.target))
		}
	}
	slices.Sort(all)
	return strings.Join(all[:min(len(all), 4)], "; ")
}

// applyExports takes what a peer announces, without what it may not. It is called
// by the reader of the link.
func (h *Host) applyExports(l *Link, e *carpv1.Exports) error {
	change := ExportsChange{Full: e.GetFull(), Removed: e.GetRemoved()}
	allowed := make([]*carpv1.Export, 0, len(e.GetAdded()))
	trusted := l.named() || l.sameUser()
	for _, x := range e.GetAdded() {
		name := x.GetName()
		if err := h.mayAnnounce(l, trusted, name); err != nil {
			change.Refused = append(change.Refused, name)
			h.log.Warn("a peer announces a service that it may not", "peer", shorten(l.PeerLabel()),
				"target", l.target, "service", shorten(name), "err", err)
			continue
		}
		change.Added = append(change.Added, name)
		allowed = append(allowed, x)
	}
	if err := l.refused.note(&change); err != nil {
		return err
	}
	if len(change.Refused) > 0 {
		e = proto.CloneOf(e)
		e.Added = allowed
		e.Removed = slices.Concat(e.GetRemoved(), change.Refused) // should they have been allowed before
	}
	if err := h.peers.apply(l, e); err != nil {
		return err
	}
	if hook := h.hooks.Exports; hook != nil {
		hook(l, change)
	}
	return nil
}

func (r *refusals) note(change *ExportsChange) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, names := range [][]string{change.Removed, change.Added} {
		for _, name := range names {
			delete(r.names, name)
		}
	}
	if len(r.names)+len(change.Refused) > maxOffers {
		return status.Errorf(codes.ResourceExhausted, "the peer announces more than %d services that it may not", maxOffers)
	}
	for _, name := range change.Refused {
		if len(name) > maxOfferName {
			return status.Errorf(codes.ResourceExhausted, "the peer announces a name of %d bytes, at most %d are taken", len(name), maxOfferName)
		}
		if r.names == nil {
			r.names = make(map[string]struct{})
		}
		r.names[name] = struct{}{}
	}
	return nil
}
