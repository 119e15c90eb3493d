//go:build !linux

package carpgrpc

import (
	"net"

	"google.golang.org/grpc/keepalive"
)

// TCP_USER_TIMEOUT is Linux's.
func setUserTimeout(net.Conn, *keepalive.ServerParameters) error { return nil }
