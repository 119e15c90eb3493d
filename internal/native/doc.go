// Package native gives the direct transport the semantics of gRPC, as grpc-go has them:
// services and their handlers on one side, calls with their options on the other,
// interceptors, metadata, deadlines, status, statistics. What it does is held against
// grpc-go's own doing by the differential suite, interop/rpctest.
//
// It knows connections and calls. Targets, listeners and reconnection are carpgrpc's.
package native
