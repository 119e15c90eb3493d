package native

import (
	"errors"
	"io"
	"math"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// recvOne receives the one message of a call, and its end.
func (a *attempt) recvOne(msg any) error {
	if err := a.recv(msg); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	m, err := a.stream.Recv(a.ctx)
	switch {
	case err == nil:
		m.Free()
		return status.Error(codes.Internal, "cardinality violation: expected <EOF> for non server-streaming RPCs, but received another message")
	case errors.Is(err, io.EOF):
		return a.status()
	default:
		return a.callError(err)
	}
}

// recv receives a message. At the end it returns the call's status, or io.EOF for OK.
func (a *attempt) recv(msg any) error {
	m, err := a.stream.Recv(a.ctx)
	if errors.Is(err, io.EOF) {
		if err := a.status(); err != nil {
			return err
		}
		if !a.call.desc.ServerStreams && !a.gotFirst {
			return status.Error(codes.Internal, "cardinality violation: received no response message from non-server-streaming RPC")
		}
		return io.EOF
	}
	if err != nil {
		return a.callError(err)
	}
	u := unpacker{limit: a.call.info.maxRecv, code: codes.Internal}
	if m.Packed {
		u.name = a.replyEncoding()
	}
	a.noteHeader()
	n, err := decode(a.call.info.codec, a.call.info.plain, u, m, msg)
	if err != nil {
		return err
	}
	a.gotFirst = true
	if a.counting() {
		a.stat(n.in(msg, true))
	}
	return nil
}

// replyEncoding is how the server compresses messages. Its header comes before them.
func (a *attempt) replyEncoding() string {
	md, _ := a.stream.HasHeader()
	if v := md.Get(encodingKey); len(v) > 0 {
		return v[0]
	}
	return ""
}

// status is how the server ended the call: nil for OK.
func (a *attempt) status() error {
	t, ok := a.stream.Trailer()
	if !ok {
		return nil
	}
	if malformed(t) {
		return status.Errorf(codes.Unknown, "transport: malformed grpc-status: strconv.ParseInt: parsing %q: value out of range", strconv.FormatUint(uint64(t.Code), 10))
	}
	if d := t.MD[detailsKey]; len(d) == 1 {
		return detailed(t, d[0])
	}
	if t.Code == codes.OK {
		return nil
	}
	return status.Error(t.Code, t.Message)
}

// malformed tells whether a trailer has a code that gRPC over HTTP/2 has no room for.
func malformed(t *direct.Trailer) bool { return t.Code > math.MaxInt32 }

// detailed is the status of a trailer with details. They must be about the same.
func detailed(t *direct.Trailer, details string) error {
	p := status.New(codes.Unknown, "").Proto()
	if err := proto.Unmarshal([]byte(details), p); err != nil {
		return status.Error(codes.Internal, "transport: malformed grpc-status-details-bin: "+err.Error())
	}
	if codes.Code(p.GetCode()) != t.Code { //nolint:gosec // as it was put in
		return status.Errorf(codes.Internal, "grpc-status-details-bin mismatch: grpc-status=%v, grpc-message=%q, grpc-status-details-bin=%+v", t.Code, t.Message, p)
	}
	return status.FromProto(p).Err()
}

// header is the server's header as users see it, or nil.
func (a *attempt) header() metadata.MD {
	md, ok := a.stream.HasHeader()
	if !ok {
		return nil
	}
	md = md.Copy()
	if md == nil {
		md = metadata.MD{}
	}
	delete(md, encodingKey)
	md["content-type"] = []string{contentType(a.call.info.subtype)}
	return md
}

// trailer is the server's trailer as users see it, or nil.
func (a *attempt) trailer() metadata.MD {
	t, ok := a.stream.Trailer()
	if !ok {
		return metadata.MD{}
	}
	md := t.MD.Copy()
	if md == nil {
		md = metadata.MD{}
	}
	if _, ok := a.stream.HasHeader(); !ok && !malformed(t) { // then this is all the metadata that there is
		md["content-type"] = []string{contentType(a.call.info.subtype)}
	}
	return md
}

// fail ends a call whose stream could not be opened.
func (a *attempt) fail(err error) error {
	if !a.begin.IsZero() {
		a.endStat(err)
	}
	if err != ErrHTTP2 { //nolint:errorlint // as Pick returned it
		a.call.ended(err)
	}
	return err
}

// finish ends a call: the server is told if it doesn't know, and everybody who asked to be
// told is. A nil error is OK.
func (a *attempt) finish(err error) {
	a.stream.Cancel(err)
	if a.counting() && !a.over {
		a.noteHeader()
		if _, ok := a.stream.Trailer(); ok {
			a.stat(&stats.InTrailer{Client: true, Trailer: a.trailer()})
		}
		a.stat(&stats.End{Client: true, BeginTime: a.begin, EndTime: time.Now(), Trailer: a.trailer(), Error: err})
	}
	info := &a.call.info
	for _, addr := range info.header {
		*addr = a.header()
	}
	for _, addr := range info.trailer {
		*addr = a.trailer()
	}
	for _, addr := range info.peer {
		*addr = *a.conn.Peer
	}
	if rc := a.call.raw; rc != nil {
		rc.Sent = true
		if t, ok := a.stream.Trailer(); ok {
			rc.Trailer = t.MD
		}
	}
	a.call.ended(err)
}

// noteHeader tells statistics of the server's header, once it has come.
func (a *attempt) noteHeader() {
	if !a.counting() {
		return
	}
	if h := a.header(); h != nil && !a.sawHeader.Swap(true) {
		a.stat(&stats.InHeader{Client: true, Header: h, Compression: a.replyEncoding()})
	}
}
