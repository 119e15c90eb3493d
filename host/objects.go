package host

import (
	"encoding/hex"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// DefaultMaxObjects is how many objects a peer may hold on one link.
const DefaultMaxObjects = 65536

// WithMaxObjects bounds the objects of this host, callbacks among them, to which
// one peer may hold references. The default is [DefaultMaxObjects]. A call that
// would make one more fails with ResourceExhausted.
func WithMaxObjects(n int) Option {
	return hostOption(func(c *config) { c.maxObjects = n })
}

// object is something to which others hold references: an instance of a class, or
// a function that was passed as an argument.
type object struct {
	class    *class        // nil for a function
	value    reflect.Value // the instance
	function *function     // or the function
	tables   int           // that it is in
	running  int           // methods
}

// holdings are the objects of this host that one party holds: a peer on its link,
// or this host itself. They are let go one by one, or with the link.
type holdings struct {
	all    *objects
	max    int
	closed bool
	byID   map[string]*holding
	byPtr  map[any]*holding // instances only
}

// holding is one object that is held, and how many references to it were given.
type holding struct {
	id     string
	object *object
	count  uint64
}

// objects are the instances of a host that anybody holds. Its mutex guards all
// holdings too.
type objects struct {
	host      *Host
	mu        sync.Mutex
	instances map[any]*object
}

func (o *objects) newHoldings() *holdings {
	return &holdings{
		all: o, max: o.host.maxObjects,
		byID: make(map[string]*holding), byPtr: make(map[any]*holding),
	}
}

// count is how many objects are held.
func (t *holdings) count() int {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	return len(t.byID)
}

// give counts one more reference to an instance, and returns it.
func (t *holdings) give(c *class, v reflect.Value) (value.Ref, error) {
	key := v.Interface()
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	if held := t.byPtr[key]; held != nil {
		held.count++
		return value.Ref{Class: c.name, ID: held.id}, nil
	}
	o := t.all.instances[key]
	fresh := o == nil
	if fresh {
		o = &object{class: c, value: v}
	}
	held, err := t.hold(o)
	if err != nil {
		return value.Ref{}, err
	}
	if fresh {
		t.all.instances[key] = o
	}
	t.byPtr[key] = held
	return value.Ref{Class: c.name, ID: held.id}, nil
}

// lend holds a function that is passed as an argument.
func (t *holdings) lend(f *function) (value.Ref, error) {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	held, err := t.hold(&object{function: f})
	if err != nil {
		return value.Ref{}, err
	}
	return value.Ref{ID: held.id}, nil
}

func (t *holdings) hold(o *object) (*holding, error) {
	if t.closed {
		return nil, hostError(codes.Unavailable, "the link on which the reference would be held has ended")
	}
	if len(t.byID) >= t.max {
		return nil, hostError(codes.ResourceExhausted, "the peer holds %d objects, more are not given", t.max)
	}
	held := &holding{id: hex.EncodeToString(randomBytes()), object: o, count: 1}
	t.byID[held.id] = held
	o.tables++
	return held, nil
}

// use returns the object of an id, which then stays until done is called.
func (t *holdings) use(id string) (o *object, done func(), err error) {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	held := t.byID[id]
	if held == nil {
		return nil, nil, hostError(codes.NotFound, "there is no object of this id here: it was released, or the id is of another link")
	}
	o = held.object
	o.running++
	return o, sync.OnceFunc(func() {
		t.all.mu.Lock()
		o.running--
		last := t.all.forget(o)
		t.all.mu.Unlock()
		t.all.closeAll(last)
	}), nil
}

// take gives references back, n of them, and all of them for 0.
func (t *holdings) take(id string, n uint64) {
	t.all.mu.Lock()
	held := t.byID[id]
	if held == nil {
		t.all.mu.Unlock()
		return
	}
	if n != 0 && n < held.count {
		held.count -= n
		t.all.mu.Unlock()
		return
	}
	last := t.drop(held)
	t.all.mu.Unlock()
	t.all.closeAll(last)
}

// drop is called with mu held.
func (t *holdings) drop(held *holding) []*object {
	delete(t.byID, held.id)
	if held.object.class != nil {
		delete(t.byPtr, held.object.value.Interface())
	}
	held.object.tables--
	return t.all.forget(held.object)
}

// close gives back everything. Nothing is given after it.
func (t *holdings) close() {
	t.all.mu.Lock()
	t.closed = true
	var last []*object
	for _, held := range t.byID {
		last = append(last, t.drop(held)...)
	}
	t.all.mu.Unlock()
	t.all.closeAll(last)
}

// forget lets an object go that nobody holds and no method runs on. It is called
// with mu held; what it returns has to be closed without.
func (o *objects) forget(x *object) []*object {
	if x.tables > 0 || x.running > 0 || x.class == nil {
		return nil
	}
	delete(o.instances, x.value.Interface())
	return []*object{x}
}

// discard closes what a constructor has made for somebody who can't hold it, unless others do.
func (o *objects) discard(c *class, v reflect.Value) {
	if v.IsNil() {
		return
	}
	o.mu.Lock()
	held := o.instances[v.Interface()] != nil
	o.mu.Unlock()
	if !held {
		o.closeAll([]*object{{class: c, value: v}})
	}
}

// closeAll closes instances that are closers.
func (o *objects) closeAll(all []*object) {
	for _, x := range all {
		if c, ok := x.value.Interface().(io.Closer); ok {
			o.closeOne(x.class, c)
		}
	}
}

func (o *objects) closeOne(c *class, closer io.Closer) {
	path := joinPath(c.name, "Close")
	defer func() {
		if p := recover(); p != nil {
			o.host.panicked(o.host.ctx, path, p, debug.Stack())
		}
	}()
	if err := closer.Close(); err != nil {
		o.host.failed(o.host.ctx, path, fmt.Errorf("closing an object that was released: %w", err))
	}
}

// objectsOf are the objects that the caller holds, or an error if it has nowhere to
// hold any.
func (h *Host) objectsOf(c *call) (*holdings, error) {
	if c.link != nil {
		return c.link.objects, nil
	}
	if _, ok := c.wire.(interface{ local() }); ok {
		return h.local, nil
	}
	c.wantSession()
	return nil, hostError(codes.FailedPrecondition,
		"%s deals in references to objects, which live as long as a link or session: the call belongs to none (metadata %s)",
		pathName(c.path), sessionKey)
}

// objects returns what the other end holds of this host's.
func (p provider) objects() *holdings {
	if p.link == nil {
		return p.host.local
	}
	return p.link.objects
}
