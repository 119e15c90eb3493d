package carpgrpc_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"

	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// optionTest is what the tests of single call options work with: a client whose calls go
// over the direct transport, and the last that its server and its interceptors saw.
type optionTest struct {
	*testing.T
	pb.TestServiceClient

	header atomic.Pointer[stats.InHeader]
	opts   []grpc.CallOption
}

// call makes a unary call with a body of 10 bytes.
func (o *optionTest) call(opts ...grpc.CallOption) error { return unary(o.Context(), o, 10, opts...) }

// honoured fails the test unless the option had its effect, and did no harm.
func (o *optionTest) honoured(err error, effect bool) {
	o.Helper()
	if err != nil || !effect {
		o.Errorf("the option had its effect: %v; the call ended with %v", effect, err)
	}
}

// TagRPC, HandleRPC, TagConn and HandleConn implement [stats.Handler].
func (o *optionTest) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (o *optionTest) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (o *optionTest) HandleConn(context.Context, stats.ConnStats)                       {}

func (o *optionTest) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InHeader); ok {
		o.header.Store(in)
	}
}

// callOptions are all the types of options that grpc-go has, and what each must do here.
var callOptions = map[string]func(*optionTest){
	"HeaderCallOption": func(o *optionTest) {
		var md metadata.MD
		err := o.call(grpc.Header(&md))
		o.honoured(err, len(md["header"]) == 1)
	},
	"TrailerCallOption": func(o *optionTest) {
		var md metadata.MD
		err := o.call(grpc.Trailer(&md))
		o.honoured(err, len(md["trailer"]) == 1)
	},
	"PeerCallOption": func(o *optionTest) {
		var p peer.Peer
		err := o.call(grpc.Peer(&p))
		o.honoured(err, p.Addr != nil && p.AuthInfo != nil)
	},
	"OnFinishCallOption": func(o *optionTest) {
		finished := 0
		err := o.call(grpc.OnFinish(func(error) { finished++ }))
		o.honoured(err, finished == 1)
	},
	"FailFastCallOption": func(o *optionTest) {
		nobody := pb.NewTestServiceClient(newClient(o, targets(o)["shm"]))
		wantCode(o.T, unary(o.Context(), nobody, 10), codes.Unavailable)
		ctx, cancel := context.WithTimeout(o.Context(), 50*time.Millisecond)
		defer cancel()
		wantCode(o.T, unary(ctx, nobody, 10, grpc.WaitForReady(true)), codes.DeadlineExceeded)
	},
	"MaxRecvMsgSizeCallOption": func(o *optionTest) {
		wantCode(o.T, o.call(grpc.MaxCallRecvMsgSize(5)), codes.ResourceExhausted)
	},
	"MaxSendMsgSizeCallOption": func(o *optionTest) {
		wantCode(o.T, o.call(grpc.MaxCallSendMsgSize(5)), codes.ResourceExhausted)
	},
	"AuthorityOverrideCallOption": func(o *optionTest) {
		err := o.call(grpc.CallAuthority("somebody.test"))
		got := o.header.Load().Header[":authority"]
		o.honoured(err, slices.Equal(got, []string{"somebody.test"}))
	},
	"PerRPCCredsCallOption": func(o *optionTest) {
		err := o.call(grpc.PerRPCCredentials(token{secure: true}))
		got := o.header.Load().Header["token"]
		o.honoured(err, slices.Equal(got, []string{"good"}))
	},
	"CompressorCallOption": func(o *optionTest) {
		err := o.call(grpc.UseCompressor("gzip"))
		o.honoured(err, o.header.Load().Compression == "gzip")
		wantCode(o.T, o.call(grpc.UseCompressor("nobodys")), codes.Internal)
	},
	"acceptCompressorsCallOption": func(o *optionTest) {
		wantCode(o.T, o.call(experimental.AcceptCompressors("gzip")), codes.Unimplemented)
	},
	"ContentSubtypeCallOption": func(o *optionTest) {
		err := o.call(grpc.CallContentSubtype(proto.Name))
		got := o.header.Load().Header["content-type"]
		o.honoured(err, slices.Equal(got, []string{"application/grpc+proto"}))
		wantCode(o.T, o.call(grpc.CallContentSubtype("nobodys")), codes.Internal)
	},
	"ForceCodecCallOption": func(o *optionTest) {
		var c usedCodec
		err := o.call(grpc.ForceCodec(&c))
		o.honoured(err, c.used == 2)
	},
	"ForceCodecV2CallOption": func(o *optionTest) {
		var c usedCodec
		err := o.call(grpc.ForceCodecV2(codecOfBuffers{&c}))
		o.honoured(err, c.used == 2)
	},
	"CustomCodecCallOption": func(o *optionTest) {
		var c usedCodec
		err := o.call(grpc.CallCustomCodec(nameless{&c})) //nolint:staticcheck // it is honoured as long as grpc-go has it
		o.honoured(err, c.used == 2)
	},
	"MaxRetryRPCBufferSizeCallOption": func(o *optionTest) {
		o.honoured(o.call(grpc.MaxRetryRPCBufferSize(10)), true) // TestRefusedLargeStream sees what it does
	},
	// These say something to interceptors only, which get them.
	"StaticMethodCallOption": func(o *optionTest) {
		err := o.call(grpc.StaticMethod())
		o.honoured(err, slices.Contains(o.opts, grpc.StaticMethod()))
	},
	"EmptyCallOption": func(o *optionTest) {
		err := o.call(grpc.EmptyCallOption{})
		o.honoured(err, slices.Contains(o.opts, grpc.CallOption(grpc.EmptyCallOption{})))
	},
}

// Every call option of grpc-go is honoured or refused over the direct transport. One that a
// later grpc-go adds is found in its source.
func TestEveryCallOption(t *testing.T) {
	leak.Check(t)
	declared := callOptionTypes(t)
	for _, name := range declared {
		if callOptions[name] == nil {
			t.Errorf("grpc-go has the call option %s: internal/native has to honour it, and this test to see that", name)
		}
	}
	lis, target := direct(t)
	o := &optionTest{}
	serveHandlers(t, handlers{unary: func(ctx context.Context, r *request) (*reply, error) {
		return &reply{Payload: r.Payload}, errors.Join(
			grpc.SetHeader(ctx, metadata.Pairs("header", "1")), grpc.SetTrailer(ctx, metadata.Pairs("trailer", "2")))
	}}, lis, carpgrpc.StatsHandler(o))
	_, o.TestServiceClient = directClient(t, target, carpgrpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			o.opts = opts
			return invoker(ctx, method, req, reply, cc, opts...)
		}))
	for _, name := range slices.Sorted(maps.Keys(callOptions)) {
		if !slices.Contains(declared, name) {
			t.Errorf("grpc-go has no call option %s any more", name)
		}
		t.Run(name, func(t *testing.T) {
			o.T = t
			callOptions[name](o)
		})
	}
}

// callOptionTypes are the types of grpc-go that are call options, exported or not: those with
// the method before(*callInfo), and those that embed one. They are read from its source.
func callOptionTypes(t *testing.T) []string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/grpc").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of grpc-go, %v", len(files), err)
	}
	options := map[string]bool{}
	structs := map[string]*ast.StructType{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok {
					structs[n.Name.Name] = s
				}
			case *ast.FuncDecl:
				if n.Recv != nil && n.Name.Name == "before" {
					options[typeName(n.Recv.List[0].Type)] = true
				}
			}
			return true
		})
	}
	for found := true; found; {
		found = false
		for name, s := range structs {
			if !options[name] && embedsOne(s, options) {
				options[name], found = true, true
			}
		}
	}
	return slices.Sorted(maps.Keys(options))
}

// embedsOne tells whether a struct embeds one of the types.
func embedsOne(s *ast.StructType, types map[string]bool) bool {
	return slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool {
		return len(f.Names) == 0 && types[typeName(f.Type)]
	})
}

// typeName is the name of a type or of what it points to, if it is of the same package.
func typeName(e ast.Expr) string {
	if p, ok := e.(*ast.StarExpr); ok {
		e = p.X
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// usedCodec is protobuf's, and counts how often it is used.
type usedCodec struct{ used int }

func (*usedCodec) Name() string { return proto.Name }

func (c *usedCodec) Marshal(v any) ([]byte, error) {
	c.used++
	b, err := encoding.GetCodecV2(proto.Name).Marshal(v)
	if err != nil {
		return nil, err
	}
	defer b.Free()
	return b.Materialize(), nil
}

func (c *usedCodec) Unmarshal(data []byte, v any) error {
	c.used++
	return encoding.GetCodecV2(proto.Name).Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, v)
}

// codecOfBuffers makes it one of the newer kind, nameless one of the oldest.
type codecOfBuffers struct{ *usedCodec }

func (c codecOfBuffers) Marshal(v any) (mem.BufferSlice, error) {
	b, err := c.usedCodec.Marshal(v)
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

func (c codecOfBuffers) Unmarshal(data mem.BufferSlice, v any) error {
	return c.usedCodec.Unmarshal(data.Materialize(), v)
}

type nameless struct{ *usedCodec }

func (nameless) String() string { return "nameless" }
