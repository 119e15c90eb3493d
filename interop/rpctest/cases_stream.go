package rpctest

import (
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// streamCases are about the ends of streams: half-close, early return, and
// streams used in another way than their description says.
func streamCases() []testCase {
	return []testCase{
		{
			name: "stream/half-close",
			rule: "CloseSend ends what the handler reads with io.EOF, again and again; it can be called twice, and SendMsg after it fails with Internal.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					e.readAll(ss)
					e.read(ss)
					e.write(ss, "still sending")
					return nil
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.send(cs, "x")
				e.closeSend(cs)
				e.closeSend(cs)
				e.drain(cs)
				e.closeSend(cs)
			},
		},
		{
			name: "stream/send after half-close",
			rule: "SendMsg after CloseSend fails with Internal and ends the call.",
			run: func(e *env) {
				read := newSignal()
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					e.readAll(ss)
					read.happened()
					e.wait(ss.Context().Done(), "the end of the handler's context")
					e.server("context: %s", showError(ss.Context().Err()))
					return nil
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.closeSend(cs)
				e.await(read, "the handler's io.EOF")
				e.send(cs, "late")
				e.recv(cs)
				e.afterEnd(cs)
			},
		},
		{
			name: "stream/early return while the client sends",
			rule: "When a handler returns while the client sends, SendMsg fails with io.EOF and RecvMsg tells the status, again and again.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					e.read(ss)
					ss.SetTrailer(pairs("why", "enough"))
					return status.Error(codes.ResourceExhausted, "heard enough")
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.send(cs, "x")
				e.client("flood: %s", showError(e.flood(cs.SendMsg)))
				e.recv(cs)
				e.trailer(cs)
				e.afterEnd(cs)
			},
		},
		{
			name: "stream/early success while the client sends",
			rule: "A handler may return without an error before the client has half-closed: replies and then io.EOF reach the client.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					e.write(ss, "all you get")
					return nil
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.client("flood: %s", showError(e.flood(cs.SendMsg)))
				e.drain(cs)
				e.send(cs, "after")
				e.closeSend(cs)
			},
		},
		{
			name: "stream/early reply to a client stream",
			rule: "A client stream that is answered early gives its reply, though the client never half-closed.",
			run: func(e *env) {
				c := e.pair(handlers{clientStream: func(ss grpc.ServerStream) error {
					e.read(ss)
					e.write(ss, "early reply")
					return nil
				}})
				cs, err := c.clientStream(e.ctx)
				e.client("open: %s", showError(err))
				e.send(cs, "x")
				e.recv(cs)
				e.recv(cs)
				e.afterEnd(cs)
			},
		},
		{
			name: "stream/messages before the error",
			rule: "What a handler sent before it failed is received before the failure.",
			run: func(e *env) {
				sent := newSignal()
				c := e.pair(handlers{serverStream: func(ss grpc.ServerStream) error {
					defer sent.happened()
					e.read(ss)
					for _, s := range []string{"one", "two", "three"} {
						e.write(ss, s)
					}
					return status.Error(codes.DataLoss, "then this")
				}})
				cs, err := c.serverStream(e.ctx, text("x"))
				e.client("open: %s", showError(err))
				e.await(sent, "the handler's end")
				e.drain(cs)
			},
		},
		{
			name: "stream/client stream without a reply",
			rule: "A client stream whose handler returns without an error and without a reply fails with Internal.",
			run:  func(e *env) { e.replies(0) },
		},
		{
			name: "stream/client stream with two replies",
			rule: "A client stream whose handler replies twice fails with Internal.",
			run:  func(e *env) { e.replies(2) },
		},
		{
			name: "stream/client stream with a reply and an error",
			rule: "A client stream whose handler replies and then fails, fails: the reply is not given.",
			run: func(e *env) {
				c := e.pair(handlers{clientStream: func(ss grpc.ServerStream) error {
					e.readAll(ss)
					e.write(ss, "good reply")
					return status.Error(codes.Aborted, "changed my mind")
				}})
				cs, err := c.clientStream(e.ctx)
				e.client("open: %s", showError(err))
				e.closeSend(cs)
				e.recv(cs)
				e.recv(cs)
			},
		},
		{
			name: "stream/server stream without a request",
			rule: "A server stream that is half-closed without a request fails with Internal in the handler's RecvMsg.",
			run:  func(e *env) { e.requests(0) },
		},
		{
			name: "stream/server stream with two requests",
			rule: "A second request on a server stream fails the handler's RecvMsg with Internal.",
			run:  func(e *env) { e.requests(2) },
		},
		{
			name: "stream/unary with two requests",
			rule: "A unary method called as a stream with two requests, or none, fails with Internal.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary})
				for _, n := range []int{0, 1, 2} {
					cs, err := c.NewStream(e.ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, unaryMethod)
					e.client("%d requests: open: %s", n, showError(err))
					for range n {
						e.send(cs, "x")
					}
					e.closeSend(cs)
					e.drain(cs)
				}
			},
		},
		{
			name: "stream/stream method called as unary",
			rule: "Invoke works on a streaming method that happens to take one request and give one reply.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: echoStream(e)})
				out := new(message)
				err := c.Invoke(e.ctx, bidiMethod, text("x"), out)
				e.client("%s", showReply(out, err))
			},
		},
		{
			name: "stream/handler ignores what it is sent",
			rule: "A handler need not read: messages it leaves behind are lost without an error.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error { return nil }, unary: echoUnary})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.client("end: %s", showError(cs.RecvMsg(new(message))))
				e.client("next call: %s", showReply(c.unary(e.ctx, text("x"))))
			},
		},
		{
			name: "stream/receive after an error",
			rule: "Once RecvMsg has failed it fails in the same way for ever.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					e.write(ss, "first")
					return errors.New("over")
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.drain(cs)
				for range 3 {
					e.recv(cs)
				}
				e.send(cs, "after the end")
				e.recv(cs)
			},
		},
		{
			name: "stream/opened and left alone",
			rule: "A stream reaches its handler when it is opened, before anything is sent on it.",
			run: func(e *env) {
				started := newSignal()
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					started.happened()
					e.read(ss)
					return nil
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.await(started, "the handler's start")
				e.send(cs, "now")
				e.recv(cs)
			},
		},
	}
}

// replies has a client stream answered n times.
func (e *env) replies(n int) {
	c := e.pair(handlers{clientStream: func(ss grpc.ServerStream) error {
		e.readAll(ss)
		for range n {
			// Whether the client's complaint overtakes the second reply
			// is chance.
			ss.SendMsg(text("reply"))
		}
		return nil
	}})
	cs, err := c.clientStream(e.ctx)
	e.client("open: %s", showError(err))
	e.closeSend(cs)
	e.recv(cs) // what another one returned would depend on whether the trailer is here
}

// requests opens a server stream as if it were bidirectional, to send n
// requests.
func (e *env) requests(n int) {
	c := e.pair(handlers{serverStream: func(ss grpc.ServerStream) error {
		if err := e.read(ss); err != nil {
			return err
		}
		e.write(ss, "served")
		return nil
	}})
	cs, err := c.NewStream(e.ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, serverStreamMethod)
	e.client("open: %s", showError(err))
	for range n {
		e.send(cs, "request")
	}
	e.closeSend(cs)
	e.drain(cs)
}
