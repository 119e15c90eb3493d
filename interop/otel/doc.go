// Package otel holds calls that OpenTelemetry watches, through the stats handlers of
// otelgrpc on both ends, against plain grpc-go: the spans (names, kinds, statuses,
// attributes, whose child each is), the baggage, and the metrics must be the same over
// every transport.
//
// There are tests only. This is a module of its own because OpenTelemetry is nothing
// that users of the library shall get.
package otel
