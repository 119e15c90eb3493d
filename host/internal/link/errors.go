package link

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrEnded is why a link has ended that the peer closed in good order.
var ErrEnded = status.Error(codes.Unavailable, "link: the peer ended the link")

// A LostError ends the calls of a link that has ended or takes no more calls.
type LostError struct {
	// Sent tells that the call was handed to the transport: the peer may have
	// run it. A call that was not sent can safely be made elsewhere.
	Sent bool
	// Err is why the link ended.
	Err error
}

// Error says what became of the link and of the call.
func (e *LostError) Error() string {
	if e.Sent {
		return fmt.Sprintf("the link was lost after the call was sent, it may have run: %v", e.Err)
	}
	return fmt.Sprintf("the call was not sent: %v", e.Err)
}

// Unwrap returns e.Err.
func (e *LostError) Unwrap() error { return e.Err }

// GRPCStatus makes the error the code Unavailable for grpc's status package.
func (e *LostError) GRPCStatus() *status.Status {
	return status.New(codes.Unavailable, e.Error())
}

// refusal is the reason for which this end ends a link.
func refusal(code codes.Code, format string, args ...any) error {
	return status.Errorf(code, "link: "+format, args...)
}

// violation is the refusal of a frame that breaks the protocol.
func violation(format string, args ...any) error {
	return refusal(codes.InvalidArgument, "the peer broke the protocol: "+format, args...)
}
