package native

import (
	"context"
	"time"

	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// refuseFor is how long a refused client has to learn why.
const refuseFor = 10 * time.Second

// maxRefusals are under way at a time.
const maxRefusals = 64

type refuser struct{ method direct.Method }

func newRefuser(st *status.Status) *refuser {
	return &refuser{direct.Method{Serve: func(s *direct.Stream) {
		var t direct.Trailer
		fillStatus(&t, st)
		s.Finish(context.Background(), nil, direct.Answer{}, &t)
	}}}
}

// Method implements [direct.Handler].
func (r *refuser) Method(*direct.Request) *direct.Method { return &r.method }
