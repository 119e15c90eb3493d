package value

import "strings"

// Error says that one value can't be encoded, or does not fit where it was to
// be decoded. Codecs wrap it; find it with errors.As.
type Error struct {
	// Path leads to the value inside of what was encoded or decoded: "",
	// "[3].name", "limits.max", "[\"a key\"]".
	Path string
	// Want is what would have fitted, in Go's terms: "int8", "string".
	// Empty when no other value would have done either.
	Want string
	// Got is what was there instead: "300", "bytes", "null". Long texts and
	// data are not quoted.
	Got string
	// Err is the cause, when it came from somewhere else, or else nil.
	Err error
}

// Error returns, for example, `[3].port: want uint16, got 70000`.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(strings.TrimPrefix(e.Path, "."))
		b.WriteString(": ")
	}
	if e.Want != "" {
		b.WriteString("want " + e.Want)
		if e.Got != "" {
			b.WriteString(", ")
		}
	}
	if e.Got != "" {
		if e.Want != "" {
			b.WriteString("got ")
		}
		b.WriteString(e.Got)
	}
	if e.Err != nil {
		if e.Want != "" || e.Got != "" {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }
