package rpctest_test

import (
	"sync"
	"testing"

	"github.com/carp-rpc/carp-go/interop/rpctest"
)

// impatient does not wait for calls in flight.
type impatient struct{ rpctest.Endpoint }

func (e impatient) GracefulStop() { e.Endpoint.Stop() }

// patient waits for calls in flight, the first time.
type patient struct {
	rpctest.Endpoint
	once *sync.Once
}

func (e patient) Stop() {
	graceful := false
	e.once.Do(func() { graceful = true })
	if graceful {
		go e.Endpoint.GracefulStop()
		return
	}
	e.Endpoint.Stop()
}

// gone never comes back.
type gone struct{ rpctest.Endpoint }

func (gone) Restart(testing.TB) {}
