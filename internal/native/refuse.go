package native

import (
	"context"
	"time"

	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// DefaultSpin is how long the ends of a connection spin before they sleep. It is about what
// waking a core takes that sleeps.
const DefaultSpin = 50 * time.Microsecond

// refuseFor is how long a refused client has to learn why.
const refuseFor = 10 * time.Second

// Refuse answers all calls on a connection with a status, and ends it after a while.
func Refuse(link direct.Link, st *status.Status) {
	conn, err := direct.New(link, direct.Options{Handler: newRefuser(st), MaxHandlers: 1})
	if err != nil {
		link.Close()
		return
	}
	time.AfterFunc(refuseFor, conn.Close)
}

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
