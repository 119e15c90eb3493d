package native

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// settings are what one end of a connection tells the other about itself. The dialler makes
// a call for that before all others, whose method has no name, and whose trailer has the
// other end's settings. The keys can't be those of users, for whom the colon is reserved.
type settings struct {
	maxHeader  int  // bytes of a header list that it takes; 0 is no limit but the protocol's
	maxStreams int  // calls to it that may be under way; 0 is no limit but the protocol's
	serves     bool // it takes calls at all
}

const (
	maxHeaderKey  = ":max-header-list-size"
	maxStreamsKey = ":max-concurrent-streams"
	servesKey     = ":serves"
)

// isSettings tells whether a request is about settings. A user's call has an authority.
func isSettings(r *direct.Request) bool { return r.Method == "" && r.Authority == "" }

func (s settings) md() metadata.MD {
	md := metadata.MD{}
	if s.maxHeader > 0 {
		md[maxHeaderKey] = []string{strconv.Itoa(s.maxHeader)}
	}
	if s.maxStreams > 0 {
		md[maxStreamsKey] = []string{strconv.Itoa(s.maxStreams)}
	}
	if s.serves {
		md[servesKey] = []string{"1"}
	}
	return md
}

// settingsOf reads settings. What can't be read is as if it weren't there.
func settingsOf(md metadata.MD) settings {
	number := func(key string) int {
		if v := md[key]; len(v) == 1 {
			if n, err := strconv.ParseUint(v[0], 10, 31); err == nil {
				return int(n)
			}
		}
		return 0
	}
	return settings{number(maxHeaderKey), number(maxStreamsKey), number(servesKey) == 1}
}

// exchange tells the peer our settings, and returns the peer's. A peer that answers with
// an error has none.
func exchange(ctx context.Context, conn *direct.Conn, ours settings) (settings, error) {
	s, err := conn.Open(ctx, &direct.Request{MD: ours.md()}, &direct.OpenOptions{Unary: true})
	if err != nil {
		return settings{}, fmt.Errorf("tell the peer our settings: %w", err)
	}
	m, err := s.Recv(ctx)
	if !errors.Is(err, io.EOF) {
		if err == nil {
			m.Free()
			err = errors.New("a message came")
		}
		s.Cancel(err)
		return settings{}, fmt.Errorf("wait for the peer's settings: %w", err)
	}
	t, _ := s.Trailer()
	return settingsOf(t.MD), nil
}

// listSize is the size of a header list by HTTP/2's count, from which gRPC's limits come:
// names and values as HTTP/2 would send them, and 32 for each pair. fixed is what the
// pairs take that are not in md.
func listSize(fixed int, md metadata.MD) int {
	n := fixed
	for k, vs := range md {
		for _, v := range vs {
			n += pairSize(k, v)
		}
	}
	return n
}

func pairSize(key, value string) int {
	n := len(value)
	if strings.HasSuffix(key, "-bin") {
		n = base64.RawStdEncoding.EncodedLen(n)
	}
	return len(key) + n + 32
}

// requestSize is listSize for a request to be sent.
func requestSize(r *direct.Request) int {
	n := protocolSize(r)
	for i := 0; i+1 < len(r.Pairs); i += 2 {
		n += pairSize(r.Pairs[i], r.Pairs[i+1])
	}
	return listSize(n, r.MD)
}

// receivedSize is the same for one that came with md.
func receivedSize(r *direct.Request, md metadata.MD) int { return listSize(protocolSize(r), md) }

// protocolSize is what a request takes that is not among its metadata.
func protocolSize(r *direct.Request) int {
	n := pairSize(":method", "POST") + pairSize(":scheme", "http") + pairSize(":path", r.Method) + pairSize("te", "trailers")
	if r.Timeout != 0 {
		n += pairSize("grpc-timeout", "99999999u") // about as long as they are
	}
	if r.Encoding != "" {
		n += pairSize(encodingKey, r.Encoding)
	}
	return n
}

// trailerSize is listSize for a trailer.
func trailerSize(t *direct.Trailer) int {
	return listSize(pairSize("grpc-status", strconv.Itoa(int(t.Code)))+pairSize("grpc-message", t.Message), t.MD)
}
