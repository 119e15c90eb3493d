package dialer_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// whoCalls records the peer of each call.
type whoCalls struct {
	mu    sync.Mutex
	peers []*peer.Peer
}

func (w *whoCalls) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	p, _ := peer.FromContext(ctx)
	w.mu.Lock()
	w.peers = append(w.peers, p)
	w.mu.Unlock()
	return next(ctx, req)
}

func (w *whoCalls) last() *peer.Peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peers[len(w.peers)-1]
}

func self() dialer.PeerCred {
	return dialer.PeerCred{PID: os.Getpid(), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
}

// One stock server serves every kind of listener at once, and each call shows who
// made it.
func TestOneServerForAll(t *testing.T) {
	leak.Check(t)
	serverCfg, clientCfg := configs(t)
	var who whoCalls
	var listeners []net.Listener
	for _, target := range targets(t) {
		listeners = append(listeners, listen(t, target))
	}
	serve(t, service{}, append(creds(serverCfg), grpc.UnaryInterceptor(who.intercept)), listeners...)
	for _, lis := range listeners {
		var atClient peer.Peer
		if _, err := client(t, clientCfg, lis).UnaryCall(t.Context(), &pb.SimpleRequest{}, grpc.Peer(&atClient)); err != nil {
			t.Fatal(err)
		}
		for side, p := range map[string]*peer.Peer{"server": who.last(), "client": &atClient} {
			if lis.Addr().Network() == "tcp" {
				if _, ok := p.AuthInfo.(credentials.TLSInfo); !ok {
					t.Errorf("%s of %s: AuthInfo %T, want TLSInfo", side, lis.Addr(), p.AuthInfo)
				}
				continue
			}
			info, ok := p.AuthInfo.(dialer.AuthInfo)
			if !ok || info.PeerCred != self() {
				t.Errorf("%s of %s: AuthInfo %#v, want this process", side, lis.Addr(), p.AuthInfo)
			}
			if err := credentials.CheckSecurityLevel(p.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
				t.Errorf("%s of %s: %v", side, lis.Addr(), err)
			}
			if got, ok := dialer.PeerFromContext(peer.NewContext(t.Context(), p)); !ok || got != self() {
				t.Errorf("%s of %s: PeerFromContext = %+v, %v", side, lis.Addr(), got, ok)
			}
		}
	}
}

func TestPeerFromContextWithoutPeer(t *testing.T) {
	for _, ctx := range []context.Context{t.Context(), peer.NewContext(t.Context(), &peer.Peer{})} {
		if p, ok := dialer.PeerFromContext(ctx); ok {
			t.Errorf("PeerFromContext = %+v, want none", p)
		}
	}
}

// needsSecurity are per-call credentials that don't go over plain text.
type needsSecurity struct{}

func (needsSecurity) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"token": "x"}, nil
}
func (needsSecurity) RequireTransportSecurity() bool { return true }

func TestPerRPCCredentialsTrustLocalConns(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		if lis.Addr().Network() == "tcp" {
			return
		}
		serve(t, service{}, creds(nil), lis)
		target, opts, err := dialer.GRPC(dialer.TargetOf(lis.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		cc, err := grpc.NewClient(target, append(opts, grpc.WithPerRPCCredentials(needsSecurity{}))...)
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		unary(t, pb.NewTestServiceClient(cc), 64)
	})
}

// refuseAll is a rule that gives its reason.
func refuseAll(p dialer.PeerCred) error { return fmt.Errorf("uid %d: not on the list: 100%%", p.UID) }

// A refused client is told so, and why, and stays refused.
func TestServerRefusesPeer(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		if lis.Addr().Network() == "tcp" {
			return
		}
		serve(t, service{}, creds(&dialer.Config{Allow: refuseAll}), lis)
		c := client(t, nil, lis)
		for range 3 {
			_, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, 100_000)}})
			wantCode(t, err, codes.PermissionDenied)
			for _, want := range []string{dialer.TargetOf(lis.Addr()), "not on the list: 100%", fmt.Sprintf("pid %d", os.Getpid()), fmt.Sprintf("uid %d", os.Getuid())} {
				if !strings.Contains(status.Convert(err).Message(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		}
		s, err := c.FullDuplexCall(t.Context(), grpc.WaitForReady(true))
		if err == nil {
			_, err = s.Recv()
		}
		wantCode(t, err, codes.PermissionDenied)
	})
}

// With the rule in force at shm's handshake, the dialler is told there.
func TestListenerRefusesShmPeer(t *testing.T) {
	leak.Check(t)
	target, ok := targets(t)["shm"]
	if !ok {
		return
	}
	cfg := &dialer.Config{Allow: refuseAll}
	lis, err := cfg.Listen(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	go lis.Accept()
	_, err = dialer.Dial(t.Context(), target)
	if err == nil || !strings.Contains(err.Error(), target) || !strings.Contains(err.Error(), "not on the list") {
		t.Errorf("Dial = %v, want the target and the reason", err)
	}
}

// More refused connections than are answered are closed: a crowd costs no more.
func TestRefusalsAreBounded(t *testing.T) {
	leak.Check(t)
	lis := listen(t, targets(t)["unix"])
	serve(t, service{}, creds(&dialer.Config{Allow: refuseAll}), lis)
	var closed int
	const crowd = dialer.MaxRefusals + 8
	for range crowd {
		c, err := net.Dial("unix", lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// A client that is answered gets settings once it has greeted.
		if _, err := c.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err == nil {
			_, err = c.Read(make([]byte, 1))
			if err == nil {
				continue
			}
		}
		closed++
	}
	// On a machine that stalls, the first are done before the last have come.
	if most := crowd - dialer.MaxRefusals; closed == 0 || closed > most {
		t.Errorf("%d of %d refused connections were closed without an answer, want 1 to %d", closed, crowd, most)
	}
}

// A client does not speak to a server that it does not trust.
func TestClientRefusesServer(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		if lis.Addr().Network() == "tcp" {
			return
		}
		serve(t, service{}, creds(nil), lis)
		c := client(t, &dialer.Config{Allow: refuseAll}, lis)
		_, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{})
		wantCode(t, err, codes.Unavailable)
		for _, want := range []string{dialer.TargetOf(lis.Addr()), "not on the list"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q lacks %q", err, want)
			}
		}
	})
}

func TestRefusedError(t *testing.T) {
	leak.Check(t)
	_, server := connect(t, listen(t, targets(t)["unix"]))
	_, _, err := (&dialer.Config{Allow: refuseAll}).Credentials().ClientHandshake(t.Context(), "", server)
	var refused *dialer.RefusedError
	if !errors.As(err, &refused) || !errors.Is(err, fs.ErrPermission) || refused.Peer != self() {
		t.Errorf("error %#v, want a RefusedError about this process", err)
	}
}

// tcp without credentials is refused on both sides; plain text has to be asked for.
func TestTCPNeedsCredentials(t *testing.T) {
	leak.Check(t)
	lis := listen(t, "tcp://127.0.0.1:0")
	clientConn, server := connect(t, lis)
	for _, side := range []func() error{
		func() error { _, _, err := dialer.Credentials().ServerHandshake(server); return err },
		func() error {
			_, _, err := dialer.Credentials().ClientHandshake(t.Context(), "", clientConn)
			return err
		},
	} {
		if err := side(); !errors.Is(err, dialer.ErrNoCredentials) || !strings.Contains(err.Error(), "tcp 127.0.0.1:") {
			t.Errorf("handshake = %v, want ErrNoCredentials and the address", err)
		}
	}
	plain := &dialer.Config{TCP: insecure.NewCredentials()}
	serve(t, service{}, creds(plain), lis)
	unary(t, client(t, plain, lis), 64)
}

// Wrappers that other packages put around conns.
type (
	hidden   struct{ net.Conn }
	withConn struct{ hidden }
	withCred struct{ hidden }
)

func (w withConn) NetConn() net.Conn         { return w.Conn }
func (w withCred) PeerCred() dialer.PeerCred { return dialer.PeerCred{PID: 1, UID: 0, GID: 7} }

func TestWrappedConns(t *testing.T) {
	leak.Check(t)
	_, conn := connect(t, listen(t, targets(t)["unix"]))
	tests := []struct {
		conn net.Conn
		want dialer.PeerCred
	}{
		{conn, self()},
		{withConn{hidden{conn}}, self()},
		{withCred{hidden{conn}}, dialer.PeerCred{PID: 1, UID: 0, GID: 7}},
	}
	for _, tt := range tests {
		got, info, err := dialer.Credentials().ServerHandshake(tt.conn)
		if err != nil {
			t.Errorf("%T: %v", tt.conn, err)
			continue
		}
		if got != tt.conn {
			t.Errorf("%T became %T", tt.conn, got)
		}
		if cred := info.(dialer.AuthInfo).PeerCred; cred != tt.want {
			t.Errorf("%T: peer %+v, want %+v", tt.conn, cred, tt.want)
		}
	}
	_, _, err := dialer.Credentials().ClientHandshake(t.Context(), "", hidden{conn})
	if err == nil || !strings.Contains(err.Error(), "dialer_test.hidden") || !strings.Contains(err.Error(), "NetConn") {
		t.Errorf("a wrapper that hides the socket: %v, want an error that names it and what it needs", err)
	}
}

// Connections of other kinds follow the rule for tcp.
func TestOtherNetworks(t *testing.T) {
	leak.Check(t)
	lis := bufconn.Listen(1 << 16)
	cfg := &dialer.Config{TCP: insecure.NewCredentials()}
	serve(t, service{}, creds(cfg), lis)
	cc, err := grpc.NewClient("passthrough:x",
		grpc.WithTransportCredentials(cfg.Credentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	unary(t, pb.NewTestServiceClient(cc), 64)
}

func TestCredentialsClone(t *testing.T) {
	tcp := insecure.NewCredentials()
	c := (&dialer.Config{TCP: tcp}).Credentials()
	if err := c.Clone().OverrideServerName("x"); err != nil { //nolint:staticcheck // the interface has it
		t.Error(err)
	}
	if got := c.Clone().Info().SecurityProtocol; got != "peercred" {
		t.Errorf("SecurityProtocol = %q", got)
	}
}
