// Command cases is the Go end of gRPC's interoperability cases for programs in
// other languages:
//
//	cases serve carpgrpc|grpc-go|host TARGET…
//	cases call carpgrpc|grpc-go TARGET [CASE…]
//
// With serve it prints one line with the targets that it serves, in which a TCP
// port has been chosen for 0, and exits when its standard input ends. With call
// it prints the name of each case that has passed, all unless some are named, and
// ends with the first that has not.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/interop/upstream"
)

// patience is longer than any case takes on a machine that is busy.
const patience = time.Minute

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cases:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: cases serve|call KIND TARGET…")
	}
	switch what, kind, targets := args[0], args[1], args[2:]; {
	case what == "call":
		return call(kind, targets[0], targets[1:])
	case what == "serve" && kind == "host":
		return serveHost(targets)
	case what == "serve":
		return serve(kind, targets)
	}
	return fmt.Errorf("%q is neither serve nor call", args[0])
}

func call(kind, target string, names []string) error {
	if len(names) == 0 {
		names = upstream.Cases()
	}
	cc, err := upstream.NewClient(kind, target)
	if err != nil {
		return err
	}
	defer cc.Close()
	for _, name := range names {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := upstream.RunCase(ctx, name, cc)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Println(name)
	}
	return nil
}

func serve(kind string, targets []string) error {
	srv, err := upstream.NewServer(kind)
	if err != nil {
		return err
	}
	defer srv.Stop()
	upstream.Register(srv)
	failed := make(chan error, len(targets))
	for i, target := range targets {
		lis, err := dialer.Listen(context.Background(), target)
		if err != nil {
			return err
		}
		targets[i] = dialer.TargetOf(lis.Addr())
		go func() { failed <- srv.Serve(lis) }()
	}
	return untilInputEnds(targets, failed)
}

func serveHost(targets []string) (err error) {
	h, err := host.New("cases", host.WithInsecureTCP(), host.WithAnnouncements("*"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if err := h.ExportService(&testgrpc.TestService_ServiceDesc, interop.NewTestServer()); err != nil {
		return err
	}
	addrs, err := h.Listen(context.Background(), targets...)
	if err != nil {
		return err
	}
	for i, addr := range addrs {
		targets[i] = dialer.TargetOf(addr)
	}
	return untilInputEnds(targets, nil)
}

func untilInputEnds(targets []string, failed <-chan error) error {
	fmt.Println(strings.Join(targets, " "))
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case err := <-failed:
		return err
	}
}
