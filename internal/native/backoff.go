package native

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/backoff"
)

// Backoff is how long to wait before the attempt to connect that follows retries failed
// ones, by gRPC's rule (doc/connection-backoff.md).
func Backoff(cfg backoff.Config, retries int) time.Duration {
	if retries == 0 {
		return cfg.BaseDelay
	}
	d := float64(cfg.BaseDelay)
	most := float64(cfg.MaxDelay)
	for range retries {
		if d >= most {
			break
		}
		d *= cfg.Multiplier
	}
	d = min(d, most)
	d *= 1 + cfg.Jitter*(rand.Float64()*2-1)
	return time.Duration(max(d, 0))
}
