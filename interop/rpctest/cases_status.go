package rpctest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// handlerError is an error a handler returns, and why it is in the table.
type handlerError struct {
	name string
	err  error
}

// errorGroups are the tables of errors, by what they vary.
func errorGroups() []struct {
	name, rule string
	errors     []handlerError
} {
	return []struct {
		name, rule string
		errors     []handlerError
	}{
		{"codes", "Every status code reaches the client as it is; codes that nobody named do too.", codeErrors()},
		{"messages", "The text of a status reaches the client byte for byte, but for what is not UTF-8, which is replaced.", messageErrors()},
		{"details", "The details of a status reach the client in order, whether it knows their types or not.", detailErrors()},
		{"conversion", "An error without a status becomes one: context errors Canceled and DeadlineExceeded, others Unknown; a wrapped status keeps its code.", convertedErrors()},
	}
}

func statusCases() []testCase {
	var list []testCase
	for _, g := range errorGroups() {
		list = append(list,
			testCase{"status/" + g.name + ", unary", g.rule, func(e *env) { unaryErrors(e, g.errors) }},
			testCase{"status/" + g.name + ", stream", g.rule, func(e *env) { streamErrors(e, g.errors) }},
		)
	}
	return append(list, testCase{
		name: "status/own details trailer",
		rule: "A handler's own grpc-status-details-bin trailer is taken for the status's details when it has none of its own, and dropped otherwise.",
		run:  ownDetailsTrailer,
	})
}

// unaryErrors returns each error from a unary handler.
func unaryErrors(e *env, table []handlerError) {
	byName := errorsByName(table)
	c := e.pair(handlers{unary: func(_ context.Context, in *message) (*message, error) {
		return text("a reply that is lost"), byName[string(in.GetValue())]
	}})
	for _, row := range table {
		var header, trailer metadata.MD
		m, err := c.unary(e.ctx, text(row.name), grpc.Header(&header), grpc.Trailer(&trailer))
		e.client("%s: %s, header %s, trailer %s", row.name, showReply(m, err), showMD(header), showMD(trailer))
	}
}

// streamErrors returns each error from a stream handler, before and after its
// first message.
func streamErrors(e *env, table []handlerError) {
	byName := errorsByName(table)
	c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
		in := new(message)
		if err := ss.RecvMsg(in); err != nil {
			return err
		}
		name, late := strings.CutPrefix(string(in.GetValue()), "late ")
		if late {
			if err := ss.SendMsg(text("first")); err != nil {
				return err
			}
		}
		return byName[name]
	}})
	for _, row := range table {
		for _, when := range []string{"", "late "} {
			cs, err := c.bidi(e.ctx)
			e.client("%s%s: open: %s", when, row.name, showError(err))
			e.send(cs, when+row.name)
			e.drain(cs)
			e.header(cs)
			e.trailer(cs)
			e.recv(cs) // the error stays
		}
	}
}

func errorsByName(table []handlerError) map[string]error {
	m := map[string]error{}
	for _, row := range table {
		m[row.name] = row.err
	}
	return m
}

func codeErrors() []handlerError {
	var list []handlerError
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		list = append(list, handlerError{c.String(), status.Error(c, "about "+c.String())})
	}
	for _, c := range []codes.Code{17, 99, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		list = append(list, handlerError{fmt.Sprint("code ", uint32(c)), status.Error(c, "unnamed")})
	}
	return append(list, handlerError{"an error whose status is OK", okError{}}, handlerError{"an error whose status is nil", nilStatusError{}})
}

func messageErrors() []handlerError {
	list := []handlerError{}
	for name, msg := range map[string]string{
		"empty":               "",
		"ascii":               "plain text",
		"utf-8":               "ünïcödé ☃ 漢字 😀",
		"percent":             "100% %20 %zz %",
		"newlines and tabs":   "a\nb\r\nc\td",
		"controls":            "\x00\x01\x1f\x7f",
		"outer spaces":        "  spaced  ",
		"invalid utf-8":       "bad \xff\xfe end",
		"cut utf-8":           "cut \xe2\x98",
		"surrogate":           "surrogate \xed\xa0\x80",
		"replacement itself":  "kept \ufffd",
		"all bytes":           allBytes(),
		"1 KiB":               strings.Repeat("k", 1<<10),
		"9 KiB":               strings.Repeat("n", 9<<10),
		"60 KiB":              strings.Repeat("long ", 12<<10),
		"60 KiB of non-ascii": strings.Repeat("é", 30<<10),
	} {
		list = append(list, handlerError{name, status.Error(codes.DataLoss, msg)})
	}
	return sorted(list)
}

func detailErrors() []handlerError {
	with := func(msg string, details ...protoadapt.MessageV1) error {
		st, err := status.New(codes.FailedPrecondition, msg).WithDetails(details...)
		if err != nil {
			return err
		}
		return st.Err()
	}
	str := func(s string) protoadapt.MessageV1 { return protoadapt.MessageV1Of(wrapperspb.String(s)) }
	raw := func(c codes.Code, msg string, details ...*anypb.Any) error {
		p := status.New(c, msg).Proto()
		p.Details = details
		return status.FromProto(p).Err()
	}
	return []handlerError{
		{"one", with("one detail", str("first"))},
		{"three", with("three", str("a"), protoadapt.MessageV1Of(durationpb.New(7)), str("c"))},
		{"no text", with("", str("only a detail"))},
		{"text that is not utf-8", with("bad \xff", str("detail"))},
		{"large", with("large", str(strings.Repeat("d", 20<<10)))},
		{"unknown type", raw(codes.Aborted, "u", &anypb.Any{TypeUrl: "type.example/no.such.Type", Value: []byte{1, 2, 255}})},
		{"not even a type", raw(codes.Aborted, "n", &anypb.Any{Value: []byte("junk")})},
		{"wrapped", fmt.Errorf("around: %w", with("inside", str("kept")))},
		{"code above 16", raw(77, "c", &anypb.Any{TypeUrl: "x/y"})},
	}
}

func convertedErrors() []handlerError {
	return []handlerError{
		{"plain", errors.New("plain error")},
		{"plain, not utf-8", errors.New("plain \xff")},
		{"wrapped status", fmt.Errorf("outer: %w", status.Error(codes.NotFound, "inner"))},
		{"joined statuses", errors.Join(status.Error(codes.NotFound, "one"), status.Error(codes.Aborted, "two"))},
		{"context.Canceled", context.Canceled},
		{"context.DeadlineExceeded", context.DeadlineExceeded},
		{"wrapped context.Canceled", fmt.Errorf("outer: %w", context.Canceled)},
		{"wrapped context.DeadlineExceeded", fmt.Errorf("outer: %w", context.DeadlineExceeded)},
		{"io.EOF", io.EOF},
		{"io.ErrUnexpectedEOF", io.ErrUnexpectedEOF},
		{"own type with a status", ownError{codes.OutOfRange}},
		{"wrapped own type", fmt.Errorf("outer: %w", ownError{codes.OutOfRange})},
	}
}

// ownError is an application's error type that knows its status.
type ownError struct{ code codes.Code }

func (e ownError) Error() string              { return "text of Error" }
func (e ownError) GRPCStatus() *status.Status { return status.New(e.code, "text of GRPCStatus") }

type okError struct{}

func (okError) Error() string              { return "says OK" }
func (okError) GRPCStatus() *status.Status { return status.New(codes.OK, "all is well") }

type nilStatusError struct{}

func (nilStatusError) Error() string              { return "says nothing" }
func (nilStatusError) GRPCStatus() *status.Status { return nil }

func ownDetailsTrailer(e *env) {
	const key = "grpc-status-details-bin"
	encoded := "\x08\x05\x12\x04text\x1a\x05\x0a\x03x/y"
	plain := status.Error(codes.NotFound, "plain")
	detailed, _ := status.New(codes.Aborted, "detailed").WithDetails(protoadapt.MessageV1Of(wrapperspb.String("d")))
	c := e.pair(handlers{unary: func(ctx context.Context, in *message) (*message, error) {
		e.server("set: %s", showError(grpc.SetTrailer(ctx, metadata.Pairs(key, encoded, "other", "kept"))))
		switch string(in.GetValue()) {
		case "plain":
			return nil, plain
		case "detailed":
			return nil, detailed.Err()
		default:
			return in, nil
		}
	}})
	for _, which := range []string{"plain", "detailed", "ok"} {
		var trailer metadata.MD
		m, err := c.unary(e.ctx, text(which), grpc.Trailer(&trailer))
		e.client("%s: %s, trailer %s", which, showReply(m, err), showMD(trailer))
	}
}

// allBytes is a string with every byte once.
func allBytes() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}
