package carpgrpc_test

import (
	"maps"
	"regexp"
	"testing"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/interop/rpctest"
)

// serverCredentials: the reference's server has no credentials at all, ours has some
// on every connection, plain-text ones on tcp.
var serverCredentials = []rpctest.Difference{
	{
		Cases: "creds/security level", Lane: "server",
		Match: regexp.MustCompile(`^peer: .*`), Replace: "peer",
		Reason: "a server always has credentials",
	},
	{
		Cases: "creds/peer", Lane: "server",
		Match: regexp.MustCompile(`, authentication info$`), Replace: "",
		Reason: "a server always has credentials",
	},
}

// localCredentials: unix and shm connections are known to stay on the machine and to
// whom they belong.
var localCredentials = rpctest.Options{
	Differences: append([]rpctest.Difference{
		{
			Cases: "creds/security level", Lane: "client",
			Match: regexp.MustCompile(`^(request info|peer): .*`), Replace: "$1",
			Reason: "peer credentials have the level PrivacyAndIntegrity",
		},
		{
			Cases: "creds/peer",
			Match: regexp.MustCompile(`address of (tcp|unix)`), Replace: "address",
			Reason: "the addresses are those of unix sockets",
		},
	}, serverCredentials...),
	Skip: map[string]string{
		"creds/that want a secure connection": "they may be used on unix and shm: TestPerRPCCredentialsTrustLocalConns",
	},
}

// directOptions are what calls through shared memory without HTTP/2 may differ in.
func directOptions() rpctest.Options {
	o := rpctest.NotHTTP2()
	o.Differences = append(o.Differences, localCredentials.Differences...)
	o.Differences = append(o.Differences,
		rpctest.Difference{
			Cases: "*/*",
			Match: regexp.MustCompile(`grpc-accept-encoding: "gzip"(?:; | ("))`), Replace: "$1",
			Reason:    "which compressors are registered can't be told from outside grpc-go; a reply is compressed as its request is",
			Sometimes: true,
		},
		rpctest.Difference{
			Cases: "*/*",
			Match: regexp.MustCompile(`grpc-accept-encoding: ("7")`), Replace: "$1",
			Reason:    "the same",
			Sometimes: true,
		},
	)
	o.Skip["metadata/refused upper case"] = "keys are in lower case when package metadata gives them to others than grpc-go, which then sends them"
	maps.Copy(o.Skip, localCredentials.Skip)
	return o
}

// What a caller and a handler see is what plain grpc-go over TCP shows them.
func TestLikeGRPC(t *testing.T) {
	for _, kind := range []string{"unix", "shm", "tcp"} {
		if targets(t)[kind] == "" {
			continue // not on this system
		}
		t.Run(kind, func(t *testing.T) {
			leak.Check(t)
			opts := localCredentials
			switch kind {
			case "tcp":
				opts = rpctest.Options{Differences: serverCredentials}
			case "shm":
				opts = directOptions()
			}
			rpctest.Run(t, stack(kind, false), opts)
		})
	}
}

func TestLikeGRPCWithOpaqueOptions(t *testing.T) {
	leak.Check(t)
	for _, kind := range []string{"unix", "shm"} {
		if targets(t)[kind] == "" {
			continue // not on this system
		}
		t.Run(kind, func(t *testing.T) { rpctest.Run(t, stack(kind, true), localCredentials) })
	}
}
