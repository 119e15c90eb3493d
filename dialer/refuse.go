package dialer

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

const (
	// refusalTime is how long a refused client may take to send the call that
	// is answered with the reason. Its connection ends then at the latest.
	refusalTime = 2 * time.Second
	// maxRefusals bounds how many refused connections are answered at a time;
	// others are closed without a word.
	maxRefusals = 16
	// maxRefusedFrames bounds what is read from one of them.
	maxRefusedFrames = 256
	// refusedFrameSize is HTTP/2's smallest limit of a frame, in bytes.
	refusedFrameSize = 16 << 10
)

// refuser tells refused gRPC clients why. Closing their connection would show them
// no more than an EOF, and a client retries after that: so a refused connection
// speaks just enough HTTP/2 to answer calls with PermissionDenied, to any gRPC
// client of any language, before it is closed.
type refuser struct {
	slots chan struct{} // one for each refusal under way
}

func newRefuser() *refuser { return &refuser{slots: make(chan struct{}, maxRefusals)} }

// refuse takes over conn and answers calls on it with reason. It reports false,
// and leaves conn alone, if too many refusals are under way.
func (r *refuser) refuse(conn net.Conn, reason error) bool {
	select {
	case r.slots <- struct{}{}:
	default:
		return false
	}
	go func() {
		defer func() { <-r.slots }()
		defer conn.Close()
		// A timer and no deadline: gRPC resets the conn's deadline after the
		// handshake, while we are at work.
		end := time.AfterFunc(refusalTime, func() { conn.Close() })
		defer end.Stop()
		_ = answerCalls(conn, codes.PermissionDenied, reason.Error())
	}()
	return true
}

// answerCalls is a gRPC server whose answer to every call is one status. It
// returns when the client closes, or sent more than refused clients do.
func answerCalls(conn net.Conn, code codes.Code, message string) error {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		return fmt.Errorf("bogus greeting %q", preface)
	}
	fr := http2.NewFramer(conn, conn)
	fr.SetMaxReadFrameSize(refusedFrameSize)
	if err := fr.WriteSettings(); err != nil {
		return err
	}
	for range maxRefusedFrames {
		frame, err := fr.ReadFrame()
		if err != nil {
			return err
		}
		if err := answerFrame(fr, frame, code, message); err != nil {
			return err
		}
	}
	return nil
}

func answerFrame(fr *http2.Framer, frame http2.Frame, code codes.Code, message string) error {
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return fr.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return fr.WritePing(true, f.Data)
		}
	case *http2.HeadersFrame:
		if f.HeadersEnded() {
			return answerCall(fr, f.StreamID, code, message)
		}
	case *http2.ContinuationFrame:
		if f.HeadersEnded() {
			return answerCall(fr, f.StreamID, code, message)
		}
	}
	return nil
}

// answerCall ends a call with a status in what gRPC calls a trailers-only response.
// The answer depends on nothing that the client sent, which is never decoded.
func answerCall(fr *http2.Framer, stream uint32, code codes.Code, message string) error {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{
		{Name: ":status", Value: "200"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "grpc-status", Value: strconv.Itoa(int(code))},
		{Name: "grpc-message", Value: percentEncode(message)},
	} {
		_ = enc.WriteField(f) // a bytes.Buffer takes everything
	}
	return fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID:      stream,
		BlockFragment: block.Bytes(),
		EndStream:     true,
		EndHeaders:    true,
	})
}

// percentEncode writes s as gRPC wants a grpc-message: printable ASCII but for the
// percent sign stays, every other byte becomes %XX.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
