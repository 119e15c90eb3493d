package rpctest

import (
	"errors"

	"google.golang.org/grpc"
)

// The steps of a streaming call, each taking down how it went.

// noStream stands for a step on a stream that could not be opened, as happens when the
// case's time is over.
func (e *env) noStream() error {
	e.client("no stream")
	return errNoStream
}

var errNoStream = errors.New("no stream")

func (e *env) send(cs grpc.ClientStream, s string) error {
	if cs == nil {
		return e.noStream()
	}
	err := cs.SendMsg(text(s))
	e.client("send %s: %s", show(s), showError(err))
	return err
}

func (e *env) recv(cs grpc.ClientStream) error {
	if cs == nil {
		return e.noStream()
	}
	m := new(message)
	err := cs.RecvMsg(m)
	e.client("receive: %s", showReply(m, err))
	return err
}

// drain receives until the end of the stream.
func (e *env) drain(cs grpc.ClientStream) {
	for e.recv(cs) == nil {
	}
}

func (e *env) closeSend(cs grpc.ClientStream) {
	if cs == nil {
		_ = e.noStream()
		return
	}
	e.client("half-close: %s", showError(cs.CloseSend()))
}

func (e *env) header(cs grpc.ClientStream, keys ...string) {
	if cs == nil {
		_ = e.noStream()
		return
	}
	md, err := cs.Header()
	if len(keys) > 0 {
		md = pick(md, keys...)
	}
	e.client("header: %s, %s", showMD(md), showError(err))
}

func (e *env) trailer(cs grpc.ClientStream, keys ...string) {
	if cs == nil {
		_ = e.noStream()
		return
	}
	md := cs.Trailer()
	if len(keys) > 0 {
		md = pick(md, keys...)
	}
	e.client("trailer: %s", showMD(md))
}

// read and write are the server's steps.

func (e *env) read(ss grpc.ServerStream) error {
	m := new(message)
	err := ss.RecvMsg(m)
	e.server("receive: %s", showReply(m, err))
	return err
}

func (e *env) readAll(ss grpc.ServerStream) {
	for e.read(ss) == nil {
	}
}

func (e *env) write(ss grpc.ServerStream, s string) error {
	err := ss.SendMsg(text(s))
	e.server("send %s: %s", show(s), showError(err))
	return err
}
