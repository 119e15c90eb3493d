package native

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"google.golang.org/grpc/metadata"

	"github.com/carp-rpc/carp-go/internal/bothways"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// callInfo is what the options of a call say.
type callInfo struct {
	waitForReady bool
	maxRecv      int
	maxSend      int
	authority    string
	subtype      string
	codec        encoding.CodecV2
	plain        bool // codec is grpc-go's of protobuf
	compressor   string
	comp         encoding.Compressor // or nil
	creds        credentials.PerRPCCredentials
	maxReplay    int
	refused      error // an option that this transport can't honour

	// To be told when the call has ended.
	header, trailer []*metadata.MD
	peer            []*peer.Peer
	finish          []func(error)
}

// read applies the options. Each of grpc-go's is honoured or refused. Those of others,
// which embed grpc.EmptyCallOption, are for interceptors and mean nothing here.
// Of a raw call, the codec is known.
func (ci *callInfo) read(opts []grpc.CallOption, rc *bothways.RawCall) error {
	ci.maxRecv, ci.maxSend, ci.maxReplay = defaultMaxRecv, math.MaxInt32, maxReplay
	if rc != nil {
		ci.maxRecv = rc.MaxReceive
	}
	for _, o := range opts {
		ci.apply(o)
	}
	if err := ci.chooseCompressor(); err != nil {
		return err
	}
	if rc != nil {
		ci.codec, ci.subtype = rawCodec, rc.Subtype
		return nil
	}
	return ci.chooseCodec()
}

var rawCodec encoding.CodecV2 = raw.Codec("")

// chooseCompressor settles how messages are compressed.
func (ci *callInfo) chooseCompressor() error {
	if ci.compressor == "" || ci.compressor == encoding.Identity {
		return nil
	}
	if ci.comp = encoding.GetCompressor(ci.compressor); ci.comp == nil {
		return status.Errorf(codes.Internal, "grpc: Compressor is not installed for requested grpc-encoding %q", ci.compressor)
	}
	return nil
}

func (ci *callInfo) apply(o grpc.CallOption) {
	switch o := o.(type) {
	case grpc.HeaderCallOption:
		ci.header = append(ci.header, o.HeaderAddr)
	case grpc.TrailerCallOption:
		ci.trailer = append(ci.trailer, o.TrailerAddr)
	case grpc.PeerCallOption:
		ci.peer = append(ci.peer, o.PeerAddr)
	case grpc.OnFinishCallOption:
		ci.finish = append(ci.finish, o.OnFinish)
	case grpc.FailFastCallOption:
		ci.waitForReady = !o.FailFast
	case grpc.MaxRecvMsgSizeCallOption:
		ci.maxRecv = o.MaxRecvMsgSize
	case grpc.MaxSendMsgSizeCallOption:
		ci.maxSend = o.MaxSendMsgSize
	case grpc.AuthorityOverrideCallOption:
		ci.authority = o.Authority
	case grpc.PerRPCCredsCallOption:
		ci.creds = o.Creds
	case grpc.CompressorCallOption:
		ci.compressor = o.CompressorType
	case grpc.ContentSubtypeCallOption:
		ci.subtype = o.ContentSubtype
	case grpc.ForceCodecCallOption:
		ci.codec = codecV1{o.Codec}
	case grpc.ForceCodecV2CallOption:
		ci.codec = o.CodecV2
	case grpc.CustomCodecCallOption:
		ci.codec = codecV0{o.Codec}
	case grpc.MaxRetryRPCBufferSizeCallOption:
		ci.maxReplay = o.MaxRetryRPCBufferSize
	case grpc.StaticMethodCallOption, grpc.EmptyCallOption:
	default:
		if err := refuseForeign(o); err != nil {
			ci.refused = err
		}
	}
}

// refuseForeign refuses an option of grpc-go that can't be read from outside: ignoring it
// would be a silent change of what the call does.
func refuseForeign(o grpc.CallOption) error {
	t := reflect.TypeOf(o)
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.PkgPath() != "google.golang.org/grpc" {
		return nil
	}
	return status.Error(codes.Unimplemented,
		fmt.Sprintf("call option %v can't be honoured over shared memory; a client with carpgrpc.WithDialOptions(grpc.EmptyDialOption{}) makes its calls through HTTP/2, which can", t))
}

// chooseCodec settles codec and content-subtype.
func (ci *callInfo) chooseCodec() error {
	if ci.codec != nil {
		if _, old := ci.codec.(codecV0); ci.subtype == "" && !old {
			ci.subtype = strings.ToLower(ci.codec.Name())
		}
		ci.plain = isPlainProto(ci.codec)
		return nil
	}
	ci.codec = codecFor(ci.subtype)
	if ci.codec == nil {
		return status.Errorf(codes.Internal, "no codec registered for content-subtype %s", ci.subtype)
	}
	ci.plain = isPlainProto(ci.codec)
	return nil
}

// codecV0 makes a codec of the deprecated kind one of today's.
type codecV0 struct {
	grpc.Codec //nolint:staticcheck // it is honoured as long as grpc-go has it
}

func (c codecV0) Name() string { return "" }

func (c codecV0) Marshal(v any) (mem.BufferSlice, error) {
	b, err := c.Codec.Marshal(v)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (c codecV0) Unmarshal(data mem.BufferSlice, v any) error {
	return c.Codec.Unmarshal(data.Materialize(), v)
}
