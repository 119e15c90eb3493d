package host

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// wireOptions are the call options of gRPC for a call that doesn't go through it,
// over a link or inside of the host. Those that have no meaning there are
// refused, never ignored: one of them might guard something.
type wireOptions struct {
	headers, trailers []*metadata.MD
	peers             []*peer.Peer
	finished          []func(error)
	maxSend, maxRecv  int // 0 is no limit
	subtype           string
}

func readOptions(opts []grpc.CallOption) (wireOptions, error) {
	var o wireOptions
	for _, opt := range opts {
		switch opt := opt.(type) {
		case grpc.HeaderCallOption:
			o.headers = append(o.headers, opt.HeaderAddr)
		case grpc.TrailerCallOption:
			o.trailers = append(o.trailers, opt.TrailerAddr)
		case grpc.PeerCallOption:
			o.peers = append(o.peers, opt.PeerAddr)
		case grpc.OnFinishCallOption:
			o.finished = append(o.finished, opt.OnFinish)
		case grpc.MaxSendMsgSizeCallOption:
			o.maxSend = opt.MaxSendMsgSize
		case grpc.MaxRecvMsgSizeCallOption:
			o.maxRecv = opt.MaxRecvMsgSize
		case grpc.ContentSubtypeCallOption:
			o.subtype = opt.ContentSubtype
		case grpc.EmptyCallOption, grpc.StaticMethodCallOption, grpc.FailFastCallOption,
			grpc.CompressorCallOption, grpc.MaxRetryRPCBufferSizeCallOption:
			// They tune a connection that this call doesn't use.
		default:
			return o, hostError(codes.InvalidArgument, "the call option %T has no meaning for a call over a link or in the same host", opt)
		}
	}
	return o, nil
}

func (o *wireOptions) checkRequest(n int) error {
	if o.maxSend > 0 && n > o.maxSend {
		return hostError(codes.ResourceExhausted, "the request has %d bytes, the call allows %d", n, o.maxSend)
	}
	return nil
}

func (o *wireOptions) checkReply(n int) error {
	if o.maxRecv > 0 && n > o.maxRecv {
		return hostError(codes.ResourceExhausted, "the reply has %d bytes, the call allows %d", n, o.maxRecv)
	}
	return nil
}

func (o *wireOptions) setMetadata(header, trailer metadata.MD) {
	for _, p := range o.headers {
		*p = header
	}
	for _, p := range o.trailers {
		*p = trailer
	}
}

func (o *wireOptions) setPeer(p *peer.Peer) {
	for _, to := range o.peers {
		if p != nil {
			*to = *p
		}
	}
}

func (o *wireOptions) finish(err error) {
	for _, f := range o.finished {
		f(err)
	}
}
