package shmconn_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/local"

	"github.com/carp-rpc/carp-go/internal/leak"
)

// gRPC's credentials/local takes a connection for one that can't leave the machine.
func TestLocalCredentials(t *testing.T) {
	leak.Check(t)
	c, s := meet(t, listen(t, sockPath(t), nil), nil)
	_, client, err := local.NewCredentials().ClientHandshake(context.Background(), "localhost", c)
	if err != nil {
		t.Error(err)
	}
	_, server, err := local.NewCredentials().ServerHandshake(s)
	if err != nil {
		t.Error(err)
	}
	for _, info := range []credentials.AuthInfo{client, server} {
		if err := credentials.CheckSecurityLevel(info, credentials.PrivacyAndIntegrity); err != nil {
			t.Error(err)
		}
	}
}
