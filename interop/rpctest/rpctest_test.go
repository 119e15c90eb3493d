package rpctest_test

import (
	"net"
	"path/filepath"
	"regexp"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/local"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/interop/rpctest"
)

// The suite must agree with itself: what the reference shows depends on
// nothing but the rules.
func TestReferenceAgainstItself(t *testing.T) {
	leak.Check(t)
	rpctest.Run(t, rpctest.Reference(), rpctest.Options{})
}

// overUnix is grpc-go over unix sockets, with grpc-go's own credentials for
// them.
func overUnix() rpctest.Stack {
	return rpctest.Stock("grpc-go over unix", func(tb testing.TB) rpctest.Address {
		path := filepath.Join(tb.TempDir(), "s")
		return rpctest.Address{
			Listen:        func() (net.Listener, error) { return net.Listen("unix", path) },
			Target:        "unix://" + path,
			DialOptions:   []grpc.DialOption{grpc.WithTransportCredentials(local.NewCredentials())},
			ServerOptions: []grpc.ServerOption{grpc.Creds(local.NewCredentials())},
		}
	})
}

// Everything that the rules leave open shows in what differs between two
// kinds of connection under the same grpc-go.
func TestUnixAgainstReference(t *testing.T) {
	leak.Check(t)
	rpctest.Run(t, overUnix(), rpctest.Options{
		Differences: []rpctest.Difference{
			{
				Cases: "creds/security level", Match: regexp.MustCompile(`(peer|info): .*`), Replace: "$1",
				Reason: "local credentials grade unix sockets PrivacyAndIntegrity, on both sides",
			},
			{
				Cases: "creds/peer", Match: regexp.MustCompile(`address of (tcp|unix)`), Replace: "address",
				Reason: "the addresses are those of unix sockets",
			},
			{
				Cases: "creds/peer", Lane: "server", Match: regexp.MustCompile(`, authentication info$`), Replace: "",
				Reason: "the reference's server has no credentials",
			},
		},
		Skip: map[string]string{
			"creds/that want a secure connection": "local credentials make unix sockets secure",
		},
	})
}

// Every case has a name of its own and says what rule it checks.
func TestNames(t *testing.T) {
	names, rules := rpctest.Names()
	seen := map[string]bool{}
	for i, name := range names {
		if seen[name] {
			t.Errorf("two cases are named %q", name)
		}
		seen[name] = true
		if len(rules[i]) < 20 {
			t.Errorf("%q does not say what it checks: %q", name, rules[i])
		}
	}
	t.Logf("%d cases", len(names))
}
