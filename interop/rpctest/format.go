package rpctest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Everything a case takes down is turned into text here, so that equal things
// have equal texts and different things different ones.

// maxShown is the length in bytes above which only a digest is shown.
const maxShown = 200

// show quotes a text, or tells its length and digest if it is long.
func show[T string | []byte](v T) string {
	if len(v) <= maxShown {
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprintf("%q… (%d bytes, sha256 %x)", v[:16], len(v), sha256.Sum256([]byte(v)))
}

// showReply shows what a call gave back: its message or its error.
func showReply(m *message, err error) string {
	if err != nil {
		return showError(err)
	}
	return showMessage(m)
}

func showMessage(m *message) string {
	if m == nil {
		return "nil message"
	}
	return "message " + show(m.GetValue())
}

// showError shows an error with all that a caller can learn from it: whether
// it carries a status, with which code, text and details, and which of the
// standard library's errors errors.Is finds in it.
func showError(err error) string {
	if err == nil {
		return "nil error"
	}
	if err == io.EOF {
		return "io.EOF"
	}
	var b strings.Builder
	if st, ok := status.FromError(err); ok {
		fmt.Fprintf(&b, "status %v %s", st.Code(), show(st.Message()))
		for _, d := range st.Proto().GetDetails() {
			fmt.Fprintf(&b, " detail %s %s", d.GetTypeUrl(), show(d.GetValue()))
		}
	} else {
		fmt.Fprintf(&b, "error without a status %s", show(err.Error()))
	}
	for _, known := range []error{io.EOF, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			fmt.Fprintf(&b, " (is %v)", known)
		}
	}
	return b.String()
}

// showMD shows metadata with its keys in order. Nil and empty metadata differ:
// ClientStream.Header tells trailers-only responses apart by that.
func showMD(md metadata.MD) string {
	if md == nil {
		return "nil metadata"
	}
	var b strings.Builder
	b.WriteString("metadata{")
	for i, k := range slices.Sorted(maps.Keys(md)) {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s:", k)
		for _, v := range md[k] {
			b.WriteString(" " + show(v))
		}
	}
	b.WriteString("}")
	return b.String()
}

// pick returns the part of metadata that has the given keys.
func pick(md metadata.MD, keys ...string) metadata.MD {
	if md == nil {
		return nil
	}
	part := metadata.MD{}
	for _, k := range keys {
		if vs, ok := md[k]; ok {
			part[k] = vs
		}
	}
	return part
}

// showAny shows a request or reply as an interceptor or stats handler gets it.
func showAny(v any) string {
	switch m := v.(type) {
	case nil:
		return "nil"
	case *message:
		return fmt.Sprintf("%T %s", m, showMessage(m))
	case interface{ String() string }:
		return fmt.Sprintf("%T %s", m, show(m.String()))
	default:
		return fmt.Sprintf("%T", v)
	}
}

// sorted puts a table made from a map into a stable order.
func sorted(list []handlerError) []handlerError {
	slices.SortFunc(list, func(a, b handlerError) int { return strings.Compare(a.name, b.name) })
	return list
}

// showCode shows an error's code only, where its text depends on chance.
func showCode(err error) string {
	if err == nil || err == io.EOF {
		return showError(err)
	}
	return "status " + status.Code(err).String()
}

func pairs(kv ...string) metadata.MD { return metadata.Pairs(kv...) }

// errTest is an error that some handler returns.
var errTest = status.Error(codes.Aborted, "an error of the test")
