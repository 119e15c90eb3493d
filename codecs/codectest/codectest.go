// Package codectest checks that a codec follows carp's value model: that it gives
// back exactly what it was given, fits it into Go types exactly or not at all, and
// survives whatever bytes it is handed. The codecs of this module are tested with
// it, and one of your own can be:
//
//	func TestCodec(t *testing.T) {
//		codectest.Run(t, codectest.Codec{
//			Codec: mycodec.Codec{}, Marshal: mycodec.Marshal, Unmarshal: mycodec.Unmarshal,
//		})
//	}
//
// Every case has a sentence with the rule that it checks; a failure says it.
package codectest

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// Codec is a codec under test.
type Codec struct {
	args.Codec

	// Marshal encodes one value, Unmarshal decodes it into what a pointer
	// points to.
	Marshal   func(v any) ([]byte, error)
	Unmarshal func(data []byte, v any) error

	// FiniteOnly says that infinities and NaN have no form and are refused.
	FiniteOnly bool

	// Years9999 says that instants outside of the years 1 to 9999 have no form
	// and are refused.
	Years9999 bool
}

// Run checks codec c in parallel subtests of t.
func Run(t *testing.T, c Codec) {
	for _, part := range []struct {
		name string
		run  func(*testing.T, Codec)
	}{
		{"Dynamic", dynamicValues},
		{"Typed", typedValues},
		{"Structs", structs},
		{"Mismatch", mismatches},
		{"Unencodable", unencodables},
		{"Hooks", hooks},
		{"Messages", messages},
		{"WellKnown", wellKnownMessages},
		{"MessageMismatch", messageMismatches},
		{"Arguments", arguments},
		{"Results", results},
		{"Limits", limits},
		{"Concurrent", concurrent},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(t, c)
		})
	}
}

// roundTrip encodes in and decodes it into what out points to.
func (c Codec) roundTrip(t *testing.T, in, out any) {
	t.Helper()
	data, err := c.Marshal(in)
	if err != nil {
		t.Fatalf("Marshal(%.200v): %v", in, err)
	}
	if err := c.Unmarshal(data, out); err != nil {
		t.Fatalf("Unmarshal(%.200q) of %.200v: %v", data, in, err)
	}
}

// same reports a difference between two values: types count, NaNs are equal, -0
// and 0 are not.
func same(t *testing.T, rule string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, exactFloats, protocmp.Transform()); diff != "" {
		t.Errorf("%s\n(-want +got)\n%s", rule, diff)
	}
}

// wantError checks that err is a value.Error, somewhere in its chain, with these
// texts. An empty path or text is not looked at.
func wantError(t *testing.T, rule string, err error, path, text string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s\nno error", rule)
		return
	}
	var e *value.Error
	if !errors.As(err, &e) {
		t.Errorf("%s\nnot a *value.Error: %v", rule, err)
		return
	}
	if e.Path != path && path != "" {
		t.Errorf("%s\npath %q, want %q", rule, e.Path, path)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("%s\n%q does not contain %q", rule, err, text)
	}
}
