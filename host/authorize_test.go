package host_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// The authorizer sees who calls what with which metadata, on every wire, and the
// host itself is not asked about.
func TestAuthorizer(t *testing.T) {
	authorizer := func(_ context.Context, a *host.Access) error {
		if a.Action != host.ActionCall {
			return nil
		}
		if a.Peer.Label != "caller" || a.Peer.Peer == nil {
			t.Errorf("the peer is %+v", a.Peer)
		}
		if a.Service == "Vault" && a.Method == "Open" && len(a.Metadata.Get("key")) == 0 {
			return errors.New("where is the key?")
		}
		if a.Service == greeterName {
			return status.Error(codes.Unauthenticated, "no greetings")
		}
		return nil
	}
	wires(t, []host.Option{host.WithAuthorizer(authorizer)}, func(t *testing.T, exporter, caller *host.Host) {
		opened := 0
		export(t, exporter, "Vault.Open", func() { opened++ })
		export(t, exporter, "free", func() {})
		greeterpb.RegisterGreeterServer(exporter, greeter{})
		open := require[func(context.Context) error](t, caller, "Vault.Open")
		err := open(testContext(t))
		if exporter == caller {
			if err != nil || opened != 1 {
				t.Errorf("the host itself: %v", err)
			}
			return
		}
		if status.Code(err) != codes.PermissionDenied || opened != 0 {
			t.Errorf("without the key: %v, opened %d times", err, opened)
		}
		checkError(t, err, "where is the key?")
		if err := open(metadata.AppendToOutgoingContext(testContext(t), "key", "k")); err != nil || opened != 1 {
			t.Errorf("with the key: %v, opened %d times", err, opened)
		}
		if err := require[func() error](t, caller, "free")(); err != nil {
			t.Error(err)
		}
		c := greeterClient(t, caller)
		if _, err := c.Greet(testContext(t), &greeterpb.GreetRequest{Name: "x"}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("a generated service: %v", err)
		}
		stream, err := c.GreetAll(testContext(t))
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("a generated stream: %v", err)
		}
	})
}

// Health and reflection are guarded, and so are names that nobody exports, and the
// link itself.
func TestAuthorizerGuardsEverything(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h", host.WithAuthorizer(func(_ context.Context, a *host.Access) error {
		return errors.New("not this " + a.Action.String())
	}))
	conn := newForeignClient(t, h).conn
	_, err := healthpb.NewHealthClient(conn).Check(testContext(t), &healthpb.HealthCheckRequest{})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("health: %v", err)
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(testContext(t))
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("reflection: %v", err)
	}
	err = conn.Invoke(testContext(t), "/no/such", &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("an unknown name: %v", err)
	}
	_, err = newHost(t, "other").Connect(testContext(t), listen(t, h, "unix"))
	checkError(t, err, "not this link")
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a link: %v", err)
	}
}

// newHostWith is newHost without what allows strangers to announce.
func newHostWith(tb testing.TB, label string, opts ...host.Option) *host.Host {
	tb.Helper()
	h, err := host.New(label, append(opts, host.WithLogger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { h.Close() })
	return h
}

// Processes of the same user may announce everything, those on the network what is
// listed, whoever dialled. The error of who waits names what was refused.
func TestAnnouncementsOfStrangers(t *testing.T) {
	for _, transport := range transports() {
		for _, dials := range []bool{true, false} {
			t.Run(map[bool]string{true: "dials ", false: "is dialled "}[dials]+transport, func(t *testing.T) {
				leak.Check(t)
				told := newSeen()
				h := newHostWith(t, "h", host.WithInsecureTCP(), host.WithAnnouncements("jobs.*", "exact"),
					host.WithHooks(host.Hooks{Exports: func(_ *host.Link, c host.ExportsChange) {
						for _, name := range c.Refused {
							told.add(name)
						}
					}}))
				stranger := newHostWith(t, "stranger", host.WithInsecureTCP())
				export(t, stranger, "jobs.A.f", func() {})
				export(t, stranger, "exact", func() {})
				export(t, stranger, "exactly", func() {})
				if dials {
					connect(t, h, listen(t, stranger, transport))
				} else {
					connect(t, stranger, listen(t, h, transport))
				}
				require[func() error](t, h, "jobs.A.f")
				require[func() error](t, h, "exact")
				if transport != "tcp" {
					require[func() error](t, h, "exactly")
					return
				}
				told.wait(t, "exactly")
				ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
				defer cancel()
				_, err := host.Require[func() error](ctx, h, "exactly")
				checkError(t, err, "WithAnnouncements")
				_, err = host.Call[any](testContext(t), h, "exactly")
				checkError(t, err, "WithAnnouncements")
				if refused := h.Inspect().Links[0].Refused; len(refused) != 1 || refused[0] != "exactly" {
					t.Errorf("Inspect: refused %q", refused)
				}
				if err := stranger.Unexport("exactly"); err != nil {
					t.Fatal(err)
				}
				export(t, stranger, "exact2", func() {})
				told.wait(t, "exact2")
				if refused := h.Inspect().Links[0].Refused; len(refused) != 1 || refused[0] != "exact2" {
					t.Errorf("Inspect after a change: refused %q", refused)
				}
			})
		}
	}
}

// The authorizer decides about announcements too, of anybody, at any time.
func TestAuthorizerOfAnnouncements(t *testing.T) {
	leak.Check(t)
	told := newSeen()
	h := newHost(t, "h", host.WithAuthorizer(func(_ context.Context, a *host.Access) error {
		if a.Action == host.ActionAnnounce && a.Service == "taken" {
			if a.Peer.Label != "other" || a.Peer.Link == nil {
				t.Errorf("the peer is %+v", a.Peer)
			}
			return errors.New("no")
		}
		return nil
	}), host.WithHooks(host.Hooks{Exports: func(_ *host.Link, c host.ExportsChange) {
		for _, name := range c.Refused {
			told.add(name)
		}
	}}))
	other := newHost(t, "other")
	connect(t, other, listen(t, h, "unix"))
	export(t, other, "taken", func() {})
	export(t, other, "free", func() {})
	require[func() error](t, h, "free")
	told.wait(t, "taken")
	if _, err := host.Call[any](testContext(t), h, "taken"); status.Code(err) != codes.Unavailable {
		t.Errorf("what may not be announced: %v", err)
	}
}

// Over TLS an authorizer knows the client by its certificate.
func TestAuthorizerTLS(t *testing.T) {
	leak.Check(t)
	server, client := certificates(t)
	h := newHostWith(t, "h", host.WithTCP(server), host.WithAuthorizer(func(_ context.Context, a *host.Access) error {
		info, ok := a.Peer.Peer.AuthInfo.(credentials.TLSInfo)
		if !ok || len(info.State.PeerCertificates) == 0 || info.State.PeerCertificates[0].Subject.CommonName != "client" {
			return errors.New("who is this?")
		}
		return nil
	}))
	export(t, h, "f", func() int { return 7 })
	target := listen(t, h, "tcp")
	c := newHostWith(t, "client", host.WithTCP(client), host.WithAnnouncements("f"))
	connect(t, c, target)
	if n, err := host.Call[int](testContext(t), c, "f"); n != 7 || err != nil {
		t.Error(n, err)
	}
	// Plain text has no way in.
	ctx, cancel := context.WithTimeout(testContext(t), time.Second)
	defer cancel()
	if _, err := newHostWith(t, "plain", host.WithInsecureTCP()).Connect(ctx, target); err == nil {
		t.Error("a client in plain text is linked")
	}
}

// certificates are what two ends that know each other need.
func certificates(tb testing.TB) (server, client credentials.TransportCredentials) {
	tb.Helper()
	pool := x509.NewCertPool()
	one := func(name string) tls.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
			NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			tb.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			tb.Fatal(err)
		}
		pool.AddCert(leaf)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	}
	ofServer, ofClient := one("server"), one("client")
	return credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{ofServer}, ClientCAs: pool,
			ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
		}), credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{ofClient}, RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13,
		})
}
