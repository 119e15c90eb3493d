package host

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// A peer that announces another signature each time doesn't fill the memory of those who
// require the function.
func TestManySignatures(t *testing.T) {
	sig, err := bind.Required(reflect.TypeFor[func(int) error]())
	if err != nil {
		t.Fatal(err)
	}
	d := newDemand("/f/call")
	d.signature = sig
	for i := range 10 * maxCompared {
		if err := d.fit(fmt.Sprintf("(class C%d)", i), 0); err == nil {
			t.Fatalf("signature %d fits", i)
		}
		if err := d.fit("(int64) string", 0); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	d.fitting.Range(func(any, any) bool { n++; return true })
	if n > maxCompared {
		t.Errorf("%d signatures are remembered, at most %d shall be", n, maxCompared)
	}
}
