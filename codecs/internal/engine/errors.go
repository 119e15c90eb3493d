package engine

import (
	"fmt"
	"strings"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// mismatch says that t is not what was wanted.
func mismatch(want string, t *Token) error {
	return &value.Error{Want: want, Got: t.describe()}
}

// mismatchText is mismatch for what is no token.
func mismatchText(want, got string) error { return &value.Error{Want: want, Got: got} }

// mismatchCount says that a reply has another number of results than n.
func mismatchCount(n int, got string) error {
	return mismatchText("a list of "+plural(n, "result"), got)
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// cannot says that a value can't be encoded or decoded at all.
func cannot(format string, args ...any) error {
	return &value.Error{Got: fmt.Sprintf(format, args...)}
}

// Within adds a step to the path of err, on the way out of the value that it
// concerns. Faults of the format itself have positions of their own and stay as
// they are.
func Within(step string, err error) error {
	if e, ok := err.(*value.Error); ok { //nolint:errorlint // only our own, unwrapped
		e.Path = step + e.Path
	}
	return err
}

// Index is the step of a path to a list's element, or to the value of a map's key
// that is not text.
func Index(i any) string { return fmt.Sprintf("[%.64s]", fmt.Sprint(i)) }

// Key is the step of a path to a field or the value of a text key.
func Key(name string) string {
	if isIdentifier(name) {
		return "." + name
	}
	return fmt.Sprintf("[%.64q]", name)
}

func isIdentifier(s string) bool {
	ok := func(r rune) bool {
		return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	return s != "" && len(s) <= 64 && strings.IndexFunc(s, func(r rune) bool { return !ok(r) }) < 0
}

// errTooDeep is a function because within changes what it returns.
func errTooDeep() error {
	return cannot("nested deeper than %d levels", value.MaxDepth)
}
