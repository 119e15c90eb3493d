package main

import (
	"errors"
	"runtime"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
)

// overhead is how many objects a call of this benchmark allocates on both ends together,
// whatever carries it: context, metadata and cancel, the two messages received, the
// reply that the handler makes.
func overhead() int {
	c := newCaller(nil, 64, 0)
	asked, err := proto.Marshal(c.req)
	answered, err2 := proto.Marshal(&testgrpc.SimpleResponse{Payload: c.req.Payload})
	if err := errors.Join(err, err2); err != nil {
		panic(err) // they are messages of our own
	}
	once := func() {
		_, cancel := withMetadata()
		cancel()
		req, res := new(testgrpc.SimpleRequest), new(testgrpc.SimpleResponse)
		if err := errors.Join(proto.Unmarshal(asked, req), proto.Unmarshal(answered, res)); err != nil {
			panic(err) // as above
		}
		kept = append(kept[:0], req, res, &testgrpc.SimpleResponse{Payload: req.GetPayload()})
	}
	return allocations(once)
}

// kept keeps what overhead makes on the heap.
var kept []proto.Message

func allocations(f func()) int {
	const n = 1000
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		f()
	}
	runtime.ReadMemStats(&after)
	return int((after.Mallocs - before.Mallocs + n/2) / n)
}
