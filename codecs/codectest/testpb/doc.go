// Package testpb is a protobuf message with a field of every kind, for tests.
package testpb

//go:generate go run -C ../../../internal/tools/protogen . -root ../../.. codecs/codectest/testpb/test.proto
