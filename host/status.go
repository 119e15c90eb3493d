package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/host/internal/bind"
	"github.com/carp-rpc/carp-go/host/internal/link"
)

// Metadata keys of the wire contract. User metadata may not use the prefix.
const (
	reservedPrefix = "carp-"
	codecKey       = "carp-codec"        // request: the codec, for callers without content-subtypes
	acceptCodecKey = "carp-accept-codec" // trailer: the codecs there are, with UNIMPLEMENTED
	exceptionKey   = "carp-exception"    // trailer: the type of the error
	errorCutKey    = "carp-error-cut"    // trailer: the error was too long
	oneWayKey      = "carp-oneway"       // request: "1" asks for an answer before the function has run
	instanceKey    = "carp-instance"     // request: the id of the object whose method is called
	retainedKey    = "carp-retained"     // trailer: the ids of callbacks that the callee keeps
	// Trailer: "1" says that the call has not been run, for it belongs to no link or session, and has to.
	wantsSessionKey = "carp-wants-session"
)

// maxError bounds text, details and trailers of an error. Python's gRPC turns a
// larger one into RESOURCE_EXHAUSTED.
const maxError = 6 << 10

// Exceptions of errors that the host itself answers with.
const (
	exceptionBind  = "carp.BindError"  // the arguments don't fit
	exceptionPanic = "panic"           // the function panicked
	exceptionHost  = "carp.HostError"  // no such service, method or codec, and the like
	exceptionReply = "carp.ReplyError" // the codec can't carry the results
	// The object was released, or never given.
	exceptionReleased = "carp.ReleasedError"
)

// An Error is why a call failed. It carries the status that gRPC would, so that
// [status.FromError] and [status.Code] work on it, and what gRPC has no place
// for.
//
// errors.Is with [context.DeadlineExceeded] and [context.Canceled] is true for
// the codes of that name.
type Error struct {
	name      string // of the service and method
	exception string
	remote    bool
	sent      bool
	status    *status.Status
	cause     error
}

// Error names the called method, the code, the remote error type and the text.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v", e.name, e.status.Code())
	if e.exception != "" {
		fmt.Fprintf(&b, " (%s)", e.exception)
	}
	// The host's own texts begin with the name already.
	b.WriteString(": " + strings.TrimPrefix(e.status.Message(), e.name+": "))
	return b.String()
}

// Code is the gRPC status code.
func (e *Error) Code() codes.Code { return e.status.Code() }

// Message is the text, as the called function's error had it.
func (e *Error) Message() string { return e.status.Message() }

// Exception is the name of the error's type in the language of the called
// function: "errors.errorString", "ValueError". It is empty for errors that the
// other end didn't name.
func (e *Error) Exception() string { return e.exception }

// Details are the details of the status, protobuf messages.
func (e *Error) Details() []any { return e.status.Details() }

// Remote reports whether the other end answered with this error. Otherwise it
// was made on this side: there was no provider, the connection was lost, the
// context ended.
func (e *Error) Remote() bool { return e.remote }

// Sent reports whether the call was handed to a host, whose function may have run.
// If it is false the function has provably not run for this call, and the call can be
// made again whatever it does. It is true where that isn't known.
func (e *Error) Sent() bool { return e.sent }

// GRPCStatus is the status; it makes [status.FromError] work.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Unwrap returns the cause of an error that was made on this side, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Is makes the codes DeadlineExceeded and Canceled equal to the context's errors,
// and a remote error equal to what is registered under its name with
// [RegisterError].
func (e *Error) Is(target error) bool {
	if name := registeredName(target); name != "" && name == e.exception {
		return true
	}
	switch target {
	case context.DeadlineExceeded:
		return e.Code() == codes.DeadlineExceeded
	case context.Canceled:
		return e.Code() == codes.Canceled
	}
	return false
}

// callError makes the error of a caller whose call has not been handed to a host.
func callError(path string, err error) *Error { return handedError(path, err, nil, false) }

// sentError makes the error of a caller whose call has been handed to a host, as far
// as err and trailer don't say otherwise. Trailer is the call's, nil when no peer
// answered.
func sentError(path string, err error, trailer metadata.MD) *Error {
	return handedError(path, err, trailer, true)
}

func handedError(path string, err error, trailer metadata.MD, handed bool) *Error {
	if e, ok := err.(*Error); ok { //nolint:errorlint // one inside of another error is not this call's
		return e
	}
	e := &Error{name: pathName(path), status: statusOf(err), sent: handed}
	if exceptions := trailer.Get(exceptionKey); len(exceptions) > 0 {
		e.exception, e.remote = exceptions[0], true
		e.sent = len(trailer.Get(link.RefusedKey)) == 0
		return e
	}
	e.cause = err
	if lost, ok := errors.AsType[*link.LostError](err); ok {
		e.sent = lost.Sent
	}
	return e
}

// statusOf maps an error to a status:
//
//   - an error that carries a status keeps it,
//   - a context's error becomes DEADLINE_EXCEEDED or CANCELLED,
//   - any other becomes UNKNOWN with its text.
func statusOf(err error) *status.Status {
	if st, ok := status.FromError(err); ok {
		return st
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, err.Error())
	}
	return status.New(codes.Unknown, err.Error())
}

// exceptionOf names the type of an error that a function returned: as registered,
// or else, of one that comes from another host, as it was named there.
func exceptionOf(err error) string {
	if named, ok := errors.AsType[*namedError](err); ok {
		return named.exception
	}
	if name := nameRegistered(err); name != "" {
		return name
	}
	if relayed, ok := errors.AsType[*Error](err); ok {
		return cmp.Or(relayed.exception, exceptionHost)
	}
	t := reflect.TypeOf(err)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.String()
}

// namedError is an error of the host's own, with the exception it is told as.
type namedError struct {
	exception string
	status    *status.Status
}

func (e *namedError) Error() string              { return e.status.Message() }
func (e *namedError) GRPCStatus() *status.Status { return e.status }

func hostError(code codes.Code, format string, args ...any) error {
	return hostErrorAs(exceptionHost, code, format, args...)
}

func hostErrorAs(exception string, code codes.Code, format string, args ...any) error {
	return &namedError{exception: exception, status: status.Newf(code, format, args...)}
}

// bindError is the answer to arguments that don't fit.
func bindError(path string, err error) error {
	code := codes.InvalidArgument
	if _, ok := errors.AsType[*bind.Error](err); !ok {
		code = codes.Internal
	}
	return &namedError{exception: exceptionBind, status: status.Newf(code, "%s: %v", pathName(path), err)}
}

// requestError is grpc's own answer to a message of a generated service that
// can't be decoded.
func requestError(path string, err error) error {
	return hostError(codes.Internal, "%s: error unmarshalling request: %v", pathName(path), err)
}

// replyError is the answer when a codec can't carry what a function returned.
func replyError(path string, err error) error {
	return &namedError{exception: exceptionReply, status: status.Newf(codes.Internal, "%s: %v", pathName(path), err)}
}

// answer is what a failed call is answered with: a status and trailers that
// every client accepts.
func answer(err error, trailer metadata.MD) (*status.Status, metadata.MD) {
	st := statusOf(err)
	if trailer == nil {
		trailer = make(metadata.MD, 1)
	}
	trailer.Set(exceptionKey, exceptionOf(err))
	room := maxError - trailerSize(trailer)
	if proto.Size(st.Proto()) <= room {
		return st, trailer
	}
	trailer.Set(errorCutKey, "1")
	return status.New(st.Code(), cut(st.Message(), max(room-64, 0))), trailer
}

func trailerSize(md metadata.MD) int {
	n := 0
	for k, vs := range md {
		for _, v := range vs {
			n += len(k) + len(v)
		}
	}
	return n
}

// cut shortens a text to n bytes, at the start of a character, with a mark.
func cut(s string, n int) string {
	const mark = " …(cut)"
	if len(s) <= n {
		return s
	}
	n = max(n-len(mark), 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}

// checkOutgoing checks the metadata that a caller sends.
func checkOutgoing(ctx context.Context) error {
	md, _ := metadata.FromOutgoingContext(ctx)
	return checkMetadata(md)
}

func errReserved(key string) error {
	return hostError(codes.InvalidArgument, "the metadata key %q is reserved, as all that start with %q are", shorten(key), reservedPrefix)
}

// checkMetadata refuses keys that the contract keeps for itself.
func checkMetadata(md metadata.MD) error {
	for k := range md {
		if strings.HasPrefix(strings.ToLower(k), reservedPrefix) {
			return errReserved(k)
		}
	}
	return nil
}
