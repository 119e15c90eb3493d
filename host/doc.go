// Package host lets processes export Go functions and call each other's, over
// unix sockets, shared memory and TCP.
//
//	h, err := host.New("calculator")
//	h.Export("Calculator", calc)             // all methods of calc
//	err = h.Serve(ctx, "shm:///run/calc.sock", "unix:///run/calc.grpc")
//
// and in another process:
//
//	h, err := host.New("client")
//	link, err := h.Connect(ctx, "shm:///run/calc.sock")
//	add, err := host.Require[func(context.Context, int, int) (int, error)](ctx, h, "Calculator.Add")
//	sum, err := add(ctx, 1, 2)
//
// On the wire each call is a gRPC call. A host therefore serves any gRPC client
// in any language, and a service that was generated from a .proto file is
// exported and required in the same way as a function.
//
// # Hosts and links
//
// A [Host] is one party, a [Link] joins two. One of them listens
// ([Host.Listen], [Host.Serve]) and the other dials ([Host.Connect]); after that
// they are equals: each tells the other what it exports, and what it exports
// later, and each calls the other. A host may listen on several targets and dial
// several others. Announcements and calls go to linked hosts only and are not
// passed on.
//
// A link that is lost is dialled again by the end that dialled it, with growing
// waits ([WithReconnect], [WithoutReconnect]); [Link.Close] ends the wish for it, at
// either end. Two hosts may have several links, if each dials the other: one is
// used, and the next when that is lost. The death of a peer shows at once on one
// machine, and over TCP within half a minute at the latest. It fails the calls that
// the peer has, and no others.
//
// # Calls that fail
//
// A function is run at most once for a call. A call that was provably not handed to
// it goes to another provider: the link was lost before it was sent, or the host
// that got it is shutting down or has just taken back the export. A call that was
// sent to a host that is lost ends with the code Unavailable, and its text says so;
// only a method that is exported as idempotent ([WithIdempotent]) is called again,
// if the caller asks for that ([WithRetry]). With no provider a call fails at once,
// unless it waits for one ([WithWaitForReady]).
//
// # Exporting
//
// [Host.Export] takes a function, or a value with methods. Which signatures are
// legal is listed there; everything else is refused at that moment, with the
// reason. Callers give arguments by position or by name; the names come from
// [WithParams], or from a struct that embeds [Params]. Generated services are
// registered with the host as with a *grpc.Server, at any time, or with
// [Host.ExportService], which returns an error.
//
// # Requiring and calling
//
// [Require] returns a function of the type that is asked for, [Host.RequireConn]
// a connection for generated clients. Both wait, as long as their context allows,
// until someone exports what is required. What they return follows the providers
// as they come and go. [Call] makes one call of whatever name with whatever
// arguments, [Go] starts one, and [Post] doesn't wait for its end.
//
// Each export announces its signature. A provider whose signature doesn't fit what
// is required gets no calls; errors name both. A signature that isn't announced, as
// that of a Python function without annotations, fits any.
//
// A call goes to this host itself if it exports the name, and else to one of the
// linked hosts that do, chosen at random or by a [Picker]. A local call takes no wire, but
// arguments and results are encoded and decoded as for any other, so that caller
// and function share no memory.
//
// # Streams
//
// A function that returns an iter.Seq[T], an iter.Seq2[T, error] or a <-chan T is a
// server stream: its caller requires it with the result iter.Seq2[T, error], and
// ranges over the values as they come. When the caller leaves the loop, or its
// context ends, the function's iterator is stopped and the function's context ends; a
// function that fills a channel has to watch its context. If the last parameter is an
// iter.Seq[T] or iter.Seq2[T, error], the caller sends values; the function may return
// before it has seen all. Neither side gets ahead of the other by more than what the
// connection buffers. [Stream] is for streams of which nothing is known. A stream
// that breaks off ends with an error; an iter.Seq parameter can't tell, and then the
// call fails whatever the function returns.
//
// # Objects
//
// [Host.ExportClass] exports a constructor. Calls of it make objects, to which the
// callers have references: an [Object], by itself or in a struct of functions.
// References are arguments and results of other calls; they are valid on one link,
// and are released by [Object.Release], by garbage collection, or at the link's end.
// A client that is no host holds objects in a session: it opens the stream of a link,
// and sends what that says in the metadata carp-session with its calls.
//
// # Callbacks
//
// A parameter that is a function is called by the callee and runs in the caller. It
// is valid until the call ends, and longer with [Retain]. A caller without a link or
// session can't be called back, and is refused.
//
// # Codecs
//
// Each call names its codec, and its reply uses the same: msgpack unless
// [WithCodec] says otherwise. Arguments are decoded straight into the function's
// parameters. A number that doesn't fit, text for bytes, an argument that is
// missing or unknown is an error that names the parameter; nothing is converted
// silently. See package codecs/value for what values there are.
//
// # Contexts and metadata
//
// The deadline and the cancellation of a call's context reach the context of the
// exported function, over every wire. In the function,
// [google.golang.org/grpc/metadata.FromIncomingContext],
// [google.golang.org/grpc/peer.FromContext],
// [google.golang.org/grpc.SetHeader] and [google.golang.org/grpc.SetTrailer] work
// as in any gRPC handler. Metadata keys that start with "carp-" are reserved: a call
// that has one of the user's is refused, and functions see none.
//
// # Errors
//
// A call fails with an [*Error]. It has a gRPC status code, the text of the
// remote error, the name of its type, and it says whether the call was sent
// ([Error.Sent]) and whether the other end answered at all ([Error.Remote]):
//
//   - an error that a function returns keeps its status, if it carries one; a
//     context's error becomes DeadlineExceeded or Canceled, any other Unknown;
//   - arguments that don't fit are InvalidArgument, an unknown name or codec is
//     Unimplemented;
//   - a panic is Internal. What it was is told to the log and to [Hooks] of the
//     host where it happened, never to the caller; [WithPanicCrash] has it end the
//     process. In a generated service a panic
//     ends the process, as in grpc-go;
//   - no provider, or one that was lost, is Unavailable. When a process dies, the
//     calls that it had taken fail at once.
//
// Errors that have a name on both ends ([RegisterError]) are found with errors.Is.
// What one host returns of another's error keeps its code and its name.
//
// Text, details and trailers of an error are cut at 6 KiB, for there are clients
// that take no more.
//
// # Concurrency
//
// Everything in this package may be used by any number of goroutines. An exported
// function is called by many at a time; calls in flight have no order among them.
// A function may call back the host that called it, to any depth. Over shared memory
// quick functions are run by the goroutine that reads the connection, and another takes the
// reading over if one blocks: a function that locks its thread has to unlock it.
//
// # Security
//
// Over unix sockets and shared memory, processes of the same user (and root) may
// link; the kernel vouches for them. TCP is refused unless there are credentials
// ([WithTCP]) or plain text is asked for ([WithInsecureTCP]). Whoever may connect
// may call everything that is exported, unless an authorizer ([WithAuthorizer])
// objects, which is asked about every call, health and reflection too, about every
// link and every announcement. Who announces a service gets calls of it: those who
// are not known to be of the same user may announce only what [WithAnnouncements]
// lists, and [OnHost] names the hosts that may get calls of what is required. What
// a peer sends is checked and bounded before it is decoded: the size of messages
// ([WithMaxMessageSize]), calls in flight ([WithMaxCalls]), the shape of bodies, the
// number of announcements. So is what waits for a peer that doesn't read
// ([WithMaxUnread]).
//
// # Observing
//
// An [Interceptor] is run around each call that is served, on every wire; [Caller]
// tells who calls. An [OutgoingInterceptor] is run around each call that is made. [Hooks]
// are told of links, announcements, messages and calls,
// and [Host.Inspect] returns links, exports, calls in flight, counts and latencies.
//
// # Other clients
//
// A host serves gRPC's health and reflection (v1 and v1alpha). Exported Go functions
// are in it with protobuf messages made from their types, as far as protobuf can
// express these, so that grpcurl and the like list, describe and call them; classes are
// services, whose methods are called in a session.
// [Host.WriteProto] writes the .proto files for clients that are generated.
//
// # Other servers
//
// [Host.ConnectServer] makes the services of a gRPC server that is no host, in
// whatever language, ones that can be required here.
//
// # Shutdown
//
// [Host.Shutdown] tells peers, which turn to other providers, lets calls in flight
// finish, and closes links, objects and the rest;
// [Host.Close] closes at once. [Host.Serve] shuts down when its context ends.
//
// # Lock order
//
// exports.mu, then peers.mu, then the mutex of a link (package
// host/internal/link). Host.mu is taken alone.
package host
