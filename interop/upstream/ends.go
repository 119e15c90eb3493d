package upstream

import (
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
)

// The kinds of clients and servers that a case can have at its ends.
const (
	Stock = "grpc-go"  // an unmodified grpc-go over package dialer
	Ours  = "carpgrpc" // package carpgrpc
)

// plainTCP lets the ends talk over tcp without TLS.
var plainTCP = &dialer.Config{TCP: insecure.NewCredentials()}

// Server is what servers of all kinds have in common.
type Server interface {
	grpc.ServiceRegistrar
	Serve(net.Listener) error
	Stop()
}

// NewServer makes a server of a kind, without services. It serves what
// [dialer.Listen] returns.
func NewServer(kind string) (Server, error) {
	switch kind {
	case Ours:
		return carpgrpc.NewServer(carpgrpc.Creds(insecure.NewCredentials())), nil
	case Stock:
		return grpc.NewServer(grpc.Creds(plainTCP.Credentials())), nil
	}
	return nil, fmt.Errorf("upstream: no server is called %q", kind)
}

// NewClient makes a client of a kind for a dialer target. The caller closes it.
func NewClient(kind, target string) (interface {
	grpc.ClientConnInterface
	io.Closer
}, error,
) {
	switch kind {
	case Ours:
		return carpgrpc.NewClient(target, carpgrpc.WithTransportCredentials(insecure.NewCredentials()))
	case Stock:
		address, opts, err := plainTCP.GRPC(target)
		if err != nil {
			return nil, err
		}
		return grpc.NewClient(address, opts...)
	}
	return nil, fmt.Errorf("upstream: no client is called %q", kind)
}
