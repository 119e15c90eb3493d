package host_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// The faults of the original carp, and the tests that fail if ours has them:
//
//	a call hangs when the peer dies            TestChildKilled, TestOneOfThreeKilled
//	a call hangs when a message can't be sent  TestUnsendable
//	no timeout, no cancellation                TestContexts
//	65,535 bytes, and the sender doesn't know  TestSizesAroundTheOldLimit, TestMessageSize
//	an error is only a class name              TestErrors, TestRegisteredError
//	an exception deregisters the peer          TestFailuresLeaveTheLink
//	no provider is None                        TestNobodyExportsIt, TestRequireTimeout
//	instances are never freed                  TestObjectsAreCollected, TestObjectsEndWithTheLink
//	no authentication                          TestAuthorizer, TestImpostor, TestListenErrors
//	no versioning                              TestVersions

// Fault: calls hang when a put fails. A call whose message can't be sent fails at once, and
// says so; the next one is made.
func TestUnsendable(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		export(t, exporter, "unsendable", func(v any) int { return 1 })
		defer exporter.Unexport("unsendable")
		f := require[func(context.Context, any) (int, error)](t, caller, "unsendable")
		if _, err := f(testContext(t), make(chan int)); status.Code(err) != codes.InvalidArgument {
			t.Errorf("a channel as an argument: %v, want InvalidArgument", err)
		}
		if n, err := f(testContext(t), "fine"); n != 1 || err != nil {
			t.Errorf("the next call: %v, %v", n, err)
		}
	})
}

// Fault: a receiver that reads at most 65,535 bytes, which the sender ignores.
func TestSizesAroundTheOldLimit(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		export(t, exporter, "sizes", func(b []byte) []byte { return b })
		defer exporter.Unexport("sizes")
		f := require[func(context.Context, []byte) ([]byte, error)](t, caller, "sizes")
		for _, n := range []int{65_520, 65_530, 65_535, 65_536, 65_537, 131_072, 1 << 20} {
			sent := bytes.Repeat([]byte{byte(n)}, n)
			got, err := f(testContext(t), sent)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
			}
		}
	})
}

// Fault: an exception while one message is handled deregisters the peer. Whatever goes
// wrong in a call, the link stands, and the peer still provides what it did.
func TestFailuresLeaveTheLink(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		fail := func(how string) (int, error) {
			switch how {
			case "panic":
				panic("on purpose")
			case "error":
				return 0, errors.New("on purpose")
			}
			return 7, nil
		}
		export(t, exporter, "fail", fail)
		defer exporter.Unexport("fail")
		f := require[func(context.Context, string) (int, error)](t, caller, "fail")
		links := len(caller.Links())
		for _, how := range []string{"panic", "error", "panic"} {
			if _, err := f(testContext(t), how); err == nil {
				t.Errorf("%s: no error", how)
			}
			if _, err := host.Call[int](testContext(t), caller, "fail", 1, 2, 3); status.Code(err) != codes.InvalidArgument {
				t.Errorf("arguments that don't fit: %v", err)
			}
			if n, err := f(testContext(t), ""); n != 7 || err != nil {
				t.Errorf("after a %s: %v, %v", how, n, err)
			}
		}
		if got := len(caller.Links()); got != links {
			t.Errorf("%d links of %d are left", got, links)
		}
	})
}

// Fault: a service that nobody exports is None, which fails somewhere else.
func TestNobodyExportsIt(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	defer closeHosts(server, client)
	_, err := host.Call[any](testContext(t), client, "Nobody.Has")
	if status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
	checkError(t, err, "Nobody.Has")
}
