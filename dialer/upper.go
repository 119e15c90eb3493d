package dialer

import (
	"context"
	"net"

	"github.com/carp-rpc/carp-go/internal/upper"
)

func init() {
	upper.DialTarget = func(ctx context.Context, cfg any, target string, protos ...string) (net.Conn, error) {
		t, err := Parse(target)
		if err != nil {
			return nil, err
		}
		conn, err := upper.Dial(ctx, t.Address, cfg.(*Config).shm(), protos...)
		if err != nil {
			return nil, &Error{Op: "dial", Target: target, Err: err, hint: dialHint(t, err)}
		}
		return conn, nil
	}
}
