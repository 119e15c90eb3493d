package bind

import "fmt"

// An Error says why a body doesn't fit a function, or a value a body. In a
// request it is the caller's fault, and is told to the caller.
type Error struct {
	text string
}

// Error returns the text. It names the argument but not the function, which the
// caller of this package knows.
func (e *Error) Error() string { return e.text }

func errorf(format string, args ...any) *Error {
	return &Error{text: fmt.Sprintf(format, args...)}
}
