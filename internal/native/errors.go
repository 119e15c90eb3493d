package native

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What grpc-go says of everyday failures. Users compare codes, and read texts.
var (
	errIllegalHeader  = status.Error(codes.Internal, "transport: SendHeader called multiple times")
	errHeaderTooLarge = status.Error(codes.Internal, "transport: trying to send header list size larger than the limit set by peer")
	errConnClosing    = status.Error(codes.Unavailable, "transport is closing")

	// ErrClientClosing is the error of calls on a client that was closed.
	ErrClientClosing = status.Error(codes.Canceled, "grpc: the client connection is closing")
)

// toStatus makes an error one with a status, but for nil and io.EOF.
func toStatus(err error) error {
	switch {
	case err == nil || err == io.EOF: //nolint:errorlint // a wrapped one is no end of a stream
		return err
	case err == context.DeadlineExceeded || err == context.Canceled: //nolint:errorlint // as grpc-go
		return status.FromContextError(err).Err()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return status.Error(codes.Internal, err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Unknown, err.Error())
}
