package host

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/host/internal/link"
)

// Defaults of what can be set with options.
const (
	DefaultCodec          = "msgpack"
	DefaultTimeout        = 30 * time.Second
	DefaultMaxMessageSize = 4 << 20
	DefaultMaxCalls       = 1024
	DefaultMaxUnread      = 128 << 20
)

// DefaultReconnect is how long a host waits before it dials again, when a link
// that it has dialled is lost.
var DefaultReconnect = backoff.Config{
	BaseDelay:  100 * time.Millisecond,
	Multiplier: 1.6,
	Jitter:     0.2,
	MaxDelay:   15 * time.Second,
}

// Option configures a [Host].
type Option interface{ applyHost(*config) }

// ExportOption configures one export.
type ExportOption interface{ applyExport(*exportConfig) }

// CallOption configures what is required, or one dynamic call.
type CallOption interface{ applyCall(*callConfig) }

// config is what New is told.
type config struct {
	call       callConfig
	log        *slog.Logger
	hooks      Hooks
	transport  dialer.Config
	reconnect  backoff.Config
	once       bool // don't dial again
	noTunnel   bool // as a peer that has none, for tests
	maxMessage int
	maxCalls   int
	maxUnread  int
	oneWayTime time.Duration
	maxObjects int

	interceptors  []Interceptor
	outgoing      []OutgoingInterceptor
	authorizer    Authorizer
	announcements []string // services that strangers may announce
	panicCrashes  bool
	ownGoroutines bool
	announcing    announcingRate
}

type exportConfig struct {
	params       []string
	methodParams map[string][]string
	version      string
	metadata     map[string]string
	replace      bool
	api          reflect.Type // which methods of a class; nil for all

	idempotent    []string
	allIdempotent bool
}

// idempotentOf are those of the methods that were named with WithIdempotent.
func (c *exportConfig) idempotentOf(methods ...string) map[string]bool {
	m := make(map[string]bool)
	for _, name := range methods {
		if c.allIdempotent || slices.Contains(c.idempotent, name) {
			m[name] = true
		}
	}
	return m
}

type callConfig struct {
	codec        string
	timeout      time.Duration
	picker       Picker // nil for this host or any
	oneWay       bool
	waitForReady bool
	retry        RetryPolicy
}

func defaults() config {
	return config{
		call:       callConfig{codec: DefaultCodec, timeout: DefaultTimeout},
		log:        slog.Default(),
		reconnect:  DefaultReconnect,
		maxMessage: DefaultMaxMessageSize,
		maxCalls:   DefaultMaxCalls,
		maxUnread:  DefaultMaxUnread,
		oneWayTime: DefaultTimeout,
		maxObjects: DefaultMaxObjects,
		announcing: announcingRate{burst: 32 << 20, perSecond: 8 << 20},
	}
}

func (c *config) check() error {
	if err := c.call.check(); err != nil {
		return err
	}
	if c.maxMessage < 1 || c.maxMessage > 1<<30 {
		return fmt.Errorf("a largest message of %d bytes: it may be 1 to %d", c.maxMessage, 1<<30)
	}
	if c.maxCalls < 1 || c.maxCalls > 1<<20 {
		return fmt.Errorf("at most %d calls in flight: it may be 1 to %d", c.maxCalls, 1<<20)
	}
	if c.maxUnread < 1 {
		return fmt.Errorf("room for %d unread bytes: it must be above 0", c.maxUnread)
	}
	if c.maxObjects < 0 {
		return errors.New("the number of objects must not be negative")
	}
	if c.oneWayTime <= 0 {
		return errors.New("the timeout of one-way calls must be above 0")
	}
	return nil
}

func (c *callConfig) check() error {
	if c.codec != protoCodec && dynamicCodec(c.codec) == nil {
		return fmt.Errorf("the codec %q is not known; known are %s", c.codec, functionCodecs)
	}
	if c.timeout <= 0 {
		return errors.New("the timeout must be above 0")
	}
	return nil
}

// limits are what this host takes on a link.
func (c *config) limits() link.Limits {
	return link.Limits{MaxPayload: int64(c.maxMessage), MaxCalls: c.maxCalls}
}

type (
	hostOption   func(*config)
	exportOption func(*exportConfig)
)

func (o hostOption) applyHost(c *config)           { o(c) }
func (o exportOption) applyExport(c *exportConfig) { o(c) }

// A SharedOption is an option of a host, where it is the default, and of what is
// required or called through it.
type SharedOption func(*callConfig)

func (o SharedOption) applyHost(c *config)     { o(&c.call) }
func (o SharedOption) applyCall(c *callConfig) { o(c) }

// WithCodec chooses the codec of calls that this host makes: "msgpack" (the
// default), "json", "carp" (carp.v1.Value) or "proto" (protobuf messages
// synthesized from the function's type). It has no influence on calls that the
// host answers: their callers choose.
func WithCodec(name string) SharedOption {
	return func(c *callConfig) { c.codec = name }
}

// WithTimeout bounds calls through functions without a context parameter, and
// the wait for a provider in such calls. The default is [DefaultTimeout].
func WithTimeout(d time.Duration) SharedOption {
	return func(c *callConfig) { c.timeout = d }
}

// WithWaitForReady makes calls for which there is no provider wait for one, as
// long as their contexts or timeouts allow, instead of failing at once. The call
// option [grpc.WaitForReady] says the same for one call, and goes before.
func WithWaitForReady(wait bool) SharedOption {
	return func(c *callConfig) { c.waitForReady = wait }
}

// WithRetry sets how calls of methods that are exported as idempotent are made
// again, see [WithIdempotent]. Other methods are called at most once.
func WithRetry(p RetryPolicy) SharedOption {
	return func(c *callConfig) { c.retry = p }
}

// WithReconnect sets how long the host waits before it dials again when a link
// that it has dialled is lost: [DefaultReconnect] if it is not given.
func WithReconnect(b backoff.Config) Option {
	return hostOption(func(c *config) { c.reconnect, c.once = b, false })
}

// WithoutReconnect makes the host dial once: a link that is lost stays so.
func WithoutReconnect() Option {
	return hostOption(func(c *config) { c.once = true })
}

// WithIdempotent says that calling these methods twice does no more than calling
// them once, or all of them if none is named: their callers may call them again
// when a link is lost in the middle, see [WithRetry].
func WithIdempotent(methods ...string) ExportOption {
	return exportOption(func(c *exportConfig) {
		c.idempotent = append(c.idempotent, methods...)
		c.allIdempotent = c.allIdempotent || len(methods) == 0
	})
}

// WithLogger sets where the host logs: panics of exported functions (Error),
// links that come and go (Debug). The default is [slog.Default].
func WithLogger(l *slog.Logger) Option {
	return hostOption(func(c *config) { c.log = l })
}

// WithTransport sets how connections are made and who may make them; see
// [dialer.Config]. The default lets processes of the same user link over unix
// sockets and shared memory, and refuses TCP.
func WithTransport(t dialer.Config) Option {
	return hostOption(func(c *config) { c.transport = t })
}

// WithTCP sets the credentials of TCP connections, those that are accepted and
// those that are dialled: credentials.NewTLS(…). Without them TCP is refused.
func WithTCP(creds credentials.TransportCredentials) Option {
	return hostOption(func(c *config) { c.transport.TCP = creds })
}

// WithInsecureTCP allows TCP in plain text, with anyone: everybody who reaches
// the port can call what this host exports.
func WithInsecureTCP() Option { return WithTCP(insecure.NewCredentials()) }

// WithMaxMessageSize bounds the requests and replies that the host takes, in
// bytes. The default is [DefaultMaxMessageSize], as in gRPC.
func WithMaxMessageSize(n int) Option {
	return hostOption(func(c *config) { c.maxMessage = n })
}

// WithMaxCalls bounds the calls that one peer may have in flight, in each of its
// connections. The default is [DefaultMaxCalls]. Callers in Go wait; others get
// RESOURCE_EXHAUSTED.
func WithMaxCalls(n int) Option {
	return hostOption(func(c *config) { c.maxCalls = n })
}

// WithMaxUnread bounds what waits in this host for one peer that doesn't read, or not as
// fast as it asks: the bytes of results, and of items of streams, that have more than
// 64 KiB each. Smaller ones are not counted; there are as many as [WithMaxCalls] allows. The
// default is [DefaultMaxUnread], 128 MiB. It counts for each connection that the host accepts, and
// for each link beside that; a message by itself is let through, however large it is.
//
// A call whose message finds no room ends with RESOURCE_EXHAUSTED; the function has run.
// Requests of functions with more than 64 KiB that this host sends have as much room for
// each link; one that finds none waits, as long as the context of its call allows. Those of
// generated stubs are not counted.
func WithMaxUnread(bytes int) Option {
	return hostOption(func(c *config) { c.maxUnread = bytes })
}

// WithOneWayTimeout bounds the functions that peers call one-way, see
// [WithOneWay]. The default is [DefaultTimeout]. At most as many as [WithMaxCalls]
// says run at a time.
func WithOneWayTimeout(d time.Duration) Option {
	return hostOption(func(c *config) { c.oneWayTime = d })
}

// WithHandlerGoroutines gives each call that the host serves, of a function or a generated
// service, a goroutine that ends with it, on every wire and locally. Without it, quick ones
// may be run by the goroutine that reads a connection, or that calls, see
// [carpgrpc.HandlerGoroutines]: functions need it that leave their thread locked
// ([runtime.LockOSThread]) or changed. It is for all of a host, and makes small calls
// slower; a program that needs it for some functions can export them on a host of their own.
func WithHandlerGoroutines() Option {
	return hostOption(func(c *config) { c.ownGoroutines = true })
}

// WithReplace lets an export take the place of what has its name, in one step:
// no call finds nothing there. Calls that are running end as they would have. It
// is no error if there is nothing to replace.
func WithReplace() ExportOption {
	return exportOption(func(c *exportConfig) { c.replace = true })
}

// WithParams names the parameters of an exported function, without its context:
// Go keeps no names, and without this they are arg0, arg1 and so on. A name that
// ends in "?" is of a parameter that may be left out, and is then zero.
func WithParams(names ...string) ExportOption {
	return exportOption(func(c *exportConfig) { c.params = names })
}

// WithMethodParams is [WithParams] for one method of an exported value.
func WithMethodParams(method string, names ...string) ExportOption {
	return exportOption(func(c *exportConfig) {
		if c.methodParams == nil {
			c.methodParams = make(map[string][]string)
		}
		c.methodParams[method] = names
	})
}

// WithVersion labels an export with a version. It is free text for requirers.
func WithVersion(label string) ExportOption {
	return exportOption(func(c *exportConfig) { c.version = label })
}

// WithMetadata tells requirers more about an export.
func WithMetadata(md map[string]string) ExportOption {
	return exportOption(func(c *exportConfig) { c.metadata = md })
}
