package link

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// sendItem sends a message of a stream and returns when the writer has taken all
// of it, or when stop is closed, with why.
func (l *Link) sendItem(f *flow, data []byte, stop <-chan struct{}, why func() error) error {
	if n := int64(len(data)); n > l.peerLimits.MaxPayload {
		return tooLarge("message", n, l.peerLimits.MaxPayload).Err()
	}
	taken := make(chan struct{})
	l.mu.Lock()
	select {
	case <-stop:
		l.mu.Unlock()
		return why()
	default:
	}
	l.queuePayload(f, data, true, func() { close(taken) })
	mine := f.sending
	l.mu.Unlock()
	select {
	case <-taken:
		return nil
	case <-stop:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.sending == mine {
		l.dropPayload(f)
	}
	select {
	case <-taken: // it was on its way before the call ended
		return nil
	default:
		return why()
	}
}

func tooLarge(what string, n, limit int64) *status.Status {
	return status.Newf(codes.ResourceExhausted, "the %s has %d bytes, the other end takes at most %d", what, n, limit)
}

func tooMuchMetadata(what string, n, limit int) error {
	return status.Errorf(codes.ResourceExhausted, "the metadata of the %s counts %d bytes, the other end takes at most %d", what, n, limit)
}
