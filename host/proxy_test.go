package host_test

import (
	"context"
	"strings"
	"testing"

	"github.com/carp-rpc/carp-go/host"
)

// misfit is what somebody takes for a Counter.
type misfit struct {
	host.Object
	Add    func(context.Context, string) (int64, error)
	Merge  func(context.Context, *misfit) error
	Remove func(context.Context) error
	Self   func(context.Context) (*alsoMisfit, error)
}

// alsoMisfit is what a method of it returns.
type alsoMisfit struct {
	host.Object
	Twice func(context.Context) error `carp:"Double"`
}

// ofMethods can be no proxy at all.
type ofMethods struct {
	host.Object
	Add   func(context.Context, int64) int64
	Other int
}

// Require compares what a program takes for an object's methods with those that are
// announced, those of further objects that these return too, and names all that don't
// fit.
func TestProxiesAreChecked(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		exportCounter(t, exporter)
		export(t, exporter, "shop.Favourite", func(id int) *Counter { return nil })
		defer exporter.Unexport("shop.Favourite")
		require[func(int) (*host.Object, error)](t, caller, "shop.Favourite") // is known from now on
		create := require[newCounter](t, caller, "Counter")
		c, err := create(testContext(t), 1)
		if err != nil {
			t.Fatal(err)
		}
		release(testContext(t), t, &c.Object)
		type maxOf struct {
			host.Object
			Max func(context.Context) (int, error) // a function of the class
		}
		require[func(context.Context, int64) (*maxOf, error)](t, caller, "Counter")
		require[func(context.Context, int64) (*host.Object, error)](t, caller, "Counter")
		wants := []string{
			"Counter.Add is wanted as (string) int64, and is (int64) int64: parameter 1 is another type",
			"the class Counter has no method Remove",
			"the class Counter has no method Double",
		}
		check := func(what string, err error, wants ...string) {
			t.Helper()
			for _, want := range wants {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q", what, err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "Merge") {
				t.Errorf("%s: %v, but Merge fits", what, err)
			}
		}
		_, err = host.Require[func(context.Context, int64) (*misfit, error)](expired(), caller, "Counter")
		check("the constructor", err, wants...)
		_, err = host.Require[func(int) (*misfit, error)](expired(), caller, "shop.Favourite")
		check("a function", err, wants...)
		_, err = host.Require[struct {
			Favourite func(int) (*misfit, error)
		}](expired(), caller, "shop")
		check("a struct", err, wants...)
		_, err = host.Require[func(context.Context, int64) (*ofMethods, error)](expired(), caller, "Counter")
		check("no functions", err, "field Add of host_test.ofMethods", "the last result is not an error", "field Other of host_test.ofMethods")
	})
}
