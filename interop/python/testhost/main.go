// Command testhost is the Go host that the Python tests call and are called by.
//
//	testhost -unix unix:///tmp/x/s [-abstract unix-abstract:name] [-plain unix:///tmp/x/p]
//
// It serves the targets, and TCP on a free port of the loopback interface,
// prints "ready" and the TCP address on one line, and exits when its standard
// input ends. At the target -plain it serves the Greeter with stock gRPC. With
// -descriptor it prints the descriptor of carp.proto instead.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/host"
)

func main() {
	unix := flag.String("unix", "", "unix `target` to serve")
	abstract := flag.String("abstract", "", "unix-abstract `target` to serve as well")
	plain := flag.String("plain", "", "unix `target` at which to serve the Greeter with stock gRPC")
	descriptor := flag.Bool("descriptor", false, "print the descriptor of carp.proto and exit")
	flag.Parse()
	targets := []string{*unix, "tcp://127.0.0.1:0"}
	if *abstract != "" {
		targets = append(targets, *abstract)
	}
	run := func() error { return serve(os.Stdin, os.Stdout, *plain, targets) }
	if *descriptor {
		run = func() error { return printDescriptor(os.Stdout) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "testhost:", err)
		os.Exit(1)
	}
}

// printDescriptor prints what carp_grpc/carp_v1.binpb holds.
func printDescriptor(out io.Writer) error {
	file := protodesc.ToFileDescriptorProto(carpv1.File_carpgo_v1_carp_proto)
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(file)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}

func serve(in io.Reader, out io.Writer, plain string, targets []string) (err error) {
	if plain != "" {
		stop, err := servePlain(plain, greeter{})
		if err != nil {
			return err
		}
		defer stop()
	}
	h, err := host.New("testhost",
		host.WithInsecureTCP(),
		host.WithAnnouncements("*"),
		host.WithMaxMessageSize(80<<20),
		host.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if err := export(h); err != nil {
		return err
	}
	addrs, err := h.Listen(context.Background(), targets...)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready", addrs[1])
	_, err = io.Copy(io.Discard, in)
	return err
}
