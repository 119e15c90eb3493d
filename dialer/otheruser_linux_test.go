package dialer_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

// otherUID is a user that need not exist and is not ours.
const otherUID = 54321

func TestMain(m *testing.M) {
	testproc.Main(m, map[string]testproc.Role{
		"call as other user":  callAsOtherUser,
		"serve as other user": serveAsOtherUser,
	})
}

func becomeOtherUser() error {
	if err := syscall.Setgid(otherUID); err != nil {
		return err
	}
	return syscall.Setuid(otherUID)
}

// callAsOtherUser calls a target, given by the parent, and writes what came of it.
func callAsOtherUser(c *testproc.Child) error {
	if err := becomeOtherUser(); err != nil {
		return err
	}
	target, opts, err := dialer.GRPC(c.Args[0])
	if err != nil {
		return err
	}
	cc, err := grpc.NewClient(target, opts...)
	if err != nil {
		return err
	}
	defer cc.Close()
	_, err = pb.NewTestServiceClient(cc).UnaryCall(context.Background(), &pb.SimpleRequest{})
	c.Ready("%s", strconv.Quote(fmt.Sprint(err)))
	return nil
}

// serveAsOtherUser serves a target until the parent is done.
func serveAsOtherUser(c *testproc.Child) error {
	if err := becomeOtherUser(); err != nil {
		return err
	}
	allowAll := &dialer.Config{Allow: func(dialer.PeerCred) error { return nil }}
	lis, err := allowAll.Listen(context.Background(), c.Args[0])
	if err != nil {
		return err
	}
	srv := grpc.NewServer(creds(allowAll)...)
	pb.RegisterTestServiceServer(srv, service{})
	go func() { c.In.ReadString(0); srv.Stop() }()
	c.Ready("listening")
	return srv.Serve(lis)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		testproc.Unable(t, "becoming another user takes root")
	}
}

// openTargets is targets with paths that every user can reach: it is the
// credentials that are to refuse, not the file system.
func openTargets(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	m := targets(t)
	delete(m, "tcp")
	m["unix"] = "unix://" + filepath.Join(dir, "u")
	m["shm"] = "shm://" + filepath.Join(dir, "s")
	return m
}

// pathsOnly leaves out the abstract names: starting processes takes time, and what
// is behind a name is the same.
func pathsOnly(m map[string]string) map[string]string {
	return map[string]string{"unix": m["unix"], "shm": m["shm"]}
}

func openSocket(t *testing.T, lis net.Listener) {
	t.Helper()
	target := dialer.TargetOf(lis.Addr())
	if _, path, ok := strings.Cut(target, "://"); ok {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
}

func callFromOtherUser(t *testing.T, lis net.Listener) string {
	t.Helper()
	openSocket(t, lis)
	child := testproc.Start(t, "call as other user", dialer.TargetOf(lis.Addr()))
	line, err := strconv.Unquote(child.ReadLine())
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	return line
}

func TestOtherUserIsRefused(t *testing.T) {
	needRoot(t)
	for name, target := range openTargets(t) {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			lis := listen(t, target)
			serve(t, service{}, creds(nil), lis)
			got := callFromOtherUser(t, lis)
			for _, want := range []string{target, "uid 54321", "uid 0"} {
				if !strings.Contains(got, want) {
					t.Errorf("the other user got %q, which lacks %q", got, want)
				}
			}
		})
	}
}

func TestOtherUserIsAllowedByRule(t *testing.T) {
	needRoot(t)
	cfg := &dialer.Config{Allow: func(p dialer.PeerCred) error {
		if p.UID != otherUID {
			return fmt.Errorf("uid %d", p.UID)
		}
		return nil
	}}
	for name, target := range pathsOnly(openTargets(t)) {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			lis, err := cfg.Listen(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			var who whoCalls
			serve(t, service{}, append(creds(cfg), grpc.UnaryInterceptor(who.intercept)), lis)
			if got := callFromOtherUser(t, lis); got != "<nil>" {
				t.Fatal(got)
			}
			info, _ := who.last().AuthInfo.(dialer.AuthInfo)
			if info.UID != otherUID || info.GID != otherUID || info.PID == 0 || info.PID == os.Getpid() {
				t.Errorf("the call came from %+v", info.PeerCred)
			}
		})
	}
}

// Root does not trust what another user serves under a name it dials.
func TestServerOfOtherUserIsRefused(t *testing.T) {
	needRoot(t)
	for name, target := range pathsOnly(openTargets(t)) {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			child := testproc.Start(t, "serve as other user", target)
			child.ReadLine()
			grpcTarget, opts, err := dialer.GRPC(target)
			if err != nil {
				t.Fatal(err)
			}
			cc, err := grpc.NewClient(grpcTarget, opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			_, err = pb.NewTestServiceClient(cc).UnaryCall(t.Context(), &pb.SimpleRequest{})
			wantCode(t, err, codes.Unavailable)
			for _, want := range []string{target, "uid 54321", "uid 0"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}
