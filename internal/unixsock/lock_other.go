//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package unixsock

import (
	"context"
	"sync"
)

var listening sync.Mutex

// lock serializes the Listen calls of this process. There is no flock here, so
// two processes that start on one stale path at the same moment are told apart
// only by the age of the socket file ([settle]).
func lock(_ context.Context, _ string) (unlock func(), err error) {
	listening.Lock()
	return listening.Unlock, nil
}
