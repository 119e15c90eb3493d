package native

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/metadata"
)

// validate tells whether md can be sent. The rules, and the wording of what breaks
// them, are gRPC's (PROTOCOL-HTTP2.md, "Custom-Metadata").
func validate(md metadata.MD) error {
	for k, vs := range md {
		if err := validatePair(k, vs...); err != nil {
			return err
		}
	}
	return nil
}

func validatePair(key string, values ...string) error {
	if key == "" {
		return fmt.Errorf("there is an empty key in the header")
	}
	for i := range len(key) {
		if key[0] == ':' { // not sent, so not looked at
			break
		}
		if c := key[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return fmt.Errorf("header key %q contains illegal characters not in [0-9a-z-_.]", key)
		}
	}
	if strings.HasSuffix(key, "-bin") {
		return nil
	}
	for _, v := range values {
		for i := range len(v) {
			if v[i] < 0x20 || v[i] > 0x7e {
				return fmt.Errorf("header key %q contains value with non-printable ASCII characters", key)
			}
		}
	}
	return nil
}

// reserved tells whether a key is gRPC's own: what users set under it is not sent.
func reserved(key string) bool {
	if strings.HasPrefix(key, ":") {
		return true
	}
	switch key {
	case "content-type", "user-agent", "grpc-message-type", "grpc-encoding", "grpc-message",
		"grpc-status", "grpc-timeout", "te":
		return true
	}
	return false
}

// sendable is md without what is reserved. It is md itself if nothing is.
func sendable(md metadata.MD) metadata.MD {
	for k := range md {
		if reserved(k) {
			out := make(metadata.MD, len(md))
			for k, vs := range md {
				if !reserved(k) {
					out[k] = vs
				}
			}
			return out
		}
	}
	return md
}
