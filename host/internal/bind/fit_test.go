package bind

import (
	"strings"
	"testing"
)

// texts are signatures as hosts announce them, and what a peer may send in the place of
// one.
var texts = []string{
	"", "()", "(int64, string)", "(int64, string?) bool", "(...any) any", "(*int64, []string, map[string][]any) (int64, string)",
	"({a int64, b {c string}}) {d float64}", "(func(int64) string, class Counter, ref)", "(stream int64) stream string",
	"(message a.B) message a.C", "(func(func(int64))) func()", "(^1)", "(map[string]{a *int64})",
	// Words that could be taken for something else.
	"(f)", "(m)", "(func)", "(f) f", "(func(f))", "({f f})", "(*f)", "([]m)", "(int) (", "(...", "(, )", "(int64,)",
	"(map[", "({a", "({ a})", "(stream stream a)", "(?)", "(...int64, string)", "(...int64, ...string)",
}

// nested is a text that is nested as deep as n.
func nested(head string, n int, tail string) string {
	return strings.Repeat(head, n) + strings.Repeat(tail, n)
}

// Whatever a peer announces as a signature, Fit returns, and says what is wrong in few
// words. A signature fits itself.
func FuzzFit(f *testing.F) {
	for i, a := range texts { // TestFitOdd tries all pairs
		f.Add(a, texts[(i+1)%len(texts)])
	}
	for _, deep := range []string{nested("(func", 100, ")"), nested("([]", 4000, ""), nested("({a ", 60, "}")} {
		f.Add(deep, deep)
		f.Add(deep, "(any)")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		err := Fit(a, b)
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
		if Fit(a, a) != nil || Fit(a, "") != nil || Fit("", a) != nil {
			t.Errorf("%q doesn't fit itself, or nothing", a)
		}
		shape, err := parseShape(a)
		if err != nil {
			return
		}
		// Not by the shortcut for texts that are the same.
		if err := shape.fits(shape); err != nil {
			t.Errorf("%q doesn't fit itself: %v", a, err)
		}
	})
}

// Every pair of texts is compared, whatever they are.
func TestFitOdd(t *testing.T) {
	for _, a := range texts {
		for _, b := range texts {
			_ = Fit(a, b) // it returns
		}
	}
	if err := Fit("(func())", "(f)"); err == nil {
		t.Error("a type named f is taken for a function")
	}
	if err := Fit("()", strings.Repeat("(", 1<<20)); err == nil || len(err.Error()) > 1000 {
		t.Errorf("a long text: %.100v", err)
	}
}
