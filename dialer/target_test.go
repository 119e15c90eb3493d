package dialer_test

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carp-rpc/carp-go/dialer"
)

func TestParse(t *testing.T) {
	tests := []struct {
		target    string
		want      dialer.Target
		canonical string // if not the target itself
	}{
		{"shm:///run/x.sock", dialer.Target{Network: dialer.Shm, Address: "/run/x.sock"}, ""},
		{"shm:x.sock", dialer.Target{Network: dialer.Shm, Address: "x.sock"}, ""},
		{"unix:///run/x.sock", dialer.Target{Network: dialer.Unix, Address: "/run/x.sock"}, ""},
		{"unix:/run/x.sock", dialer.Target{Network: dialer.Unix, Address: "/run/x.sock"}, "unix:///run/x.sock"},
		{"unix:x.sock", dialer.Target{Network: dialer.Unix, Address: "x.sock"}, ""},
		{"UNIX:x.sock", dialer.Target{Network: dialer.Unix, Address: "x.sock"}, "unix:x.sock"},
		{"unix:./@x", dialer.Target{Network: dialer.Unix, Address: "./@x"}, ""},
		// The text is taken literally, whatever a URL would make of it.
		{"unix:///a b/50%41?q#f:x", dialer.Target{Network: dialer.Unix, Address: "/a b/50%41?q#f:x"}, ""},
		{"tcp://localhost:80", dialer.Target{Network: dialer.TCP, Address: "localhost:80"}, ""},
		{"tcp://127.0.0.1:0", dialer.Target{Network: dialer.TCP, Address: "127.0.0.1:0"}, ""},
		{"tcp://[fe80::1%eth0]:65535", dialer.Target{Network: dialer.TCP, Address: "[fe80::1%eth0]:65535"}, ""},
		{"tcp://:80", dialer.Target{Network: dialer.TCP, Address: ":80"}, ""},
	}
	if runtime.GOOS == "linux" {
		tests = append(tests, []struct {
			target    string
			want      dialer.Target
			canonical string
		}{
			{"unix-abstract:name", dialer.Target{Network: dialer.Unix, Address: "@name"}, ""},
			{"shm-abstract:a/b:c", dialer.Target{Network: dialer.Shm, Address: "@a/b:c"}, ""},
			{"shm-abstract:/x", dialer.Target{Network: dialer.Shm, Address: "@/x"}, ""},
			{"unix-abstract:@x", dialer.Target{Network: dialer.Unix, Address: "@@x"}, ""},
		}...)
	}
	for _, tt := range tests {
		got, err := dialer.Parse(tt.target)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.target, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", tt.target, diff)
		}
		canonical := tt.canonical
		if canonical == "" {
			canonical = tt.target
		}
		if got := got.String(); got != canonical {
			t.Errorf("Parse(%q).String() = %q, want %q", tt.target, got, canonical)
		}
		if again, err := dialer.Parse(canonical); err != nil || again != got {
			t.Errorf("Parse(%q) = %+v, %v, want %+v as before", canonical, again, err, got)
		}
	}
}

func TestParseErrors(t *testing.T) {
	long := strings.Repeat("x", 200)
	tests := []struct {
		target string
		cause  error
		says   string // the reason or remedy that a reader needs
	}{
		{"", dialer.ErrUnknownScheme, "no scheme"},
		{"/run/x.sock", dialer.ErrUnknownScheme, "write unix:///run/x.sock"},
		{"localhost:80", dialer.ErrUnknownScheme, "write tcp://localhost:80"},
		{"dns:///localhost:80", dialer.ErrUnknownScheme, `"dns"`},
		{"sshm:///x", dialer.ErrUnknownScheme, "known are shm,"},

		{"unix:", dialer.ErrBadTarget, "empty"},
		{"unix://", dialer.ErrBadTarget, "empty"},
		{"unix-abstract:", dialer.ErrBadTarget, "empty"},
		{"shm:///run/\x00x", dialer.ErrBadTarget, "NUL"},
		{"unix://run/x.sock", dialer.ErrBadTarget, "unix:///run/x.sock"}, // a forgotten slash, or a relative path?
		{"unix://run/x.sock", dialer.ErrBadTarget, "unix:run/x.sock"},
		{"unix:@name", dialer.ErrBadTarget, "unix-abstract:name"},
		{"shm-abstract:///name", dialer.ErrBadTarget, "shm-abstract:name"},
		{"shm:///" + long, dialer.ErrTooLong, "201 bytes"},
		{"shm:///" + long, syscall.ENAMETOOLONG, "limit is"},
		{"unix-abstract:" + long, dialer.ErrTooLong, "200 bytes"},

		{"tcp:localhost:80", dialer.ErrBadTarget, "want tcp://host:port"},
		{"tcp://localhost", dialer.ErrBadTarget, "missing port"},
		{"tcp://::1:80", dialer.ErrBadTarget, "too many colons"},
		{"tcp://localhost:", dialer.ErrBadTarget, "port"},
		{"tcp://localhost:http", dialer.ErrBadTarget, "65535"},
		{"tcp://localhost:65536", dialer.ErrBadTarget, "65535"},
		{"tcp://localhost:-1", dialer.ErrBadTarget, "65535"},
		{"tcp://localhost:80/path", dialer.ErrBadTarget, "port"},
		{"tcp://user@localhost:80", dialer.ErrBadTarget, "host"},
		{"tcp://a/b:80", dialer.ErrBadTarget, "host"},
	}
	for _, tt := range tests {
		_, err := dialer.Parse(tt.target)
		if !errors.Is(err, tt.cause) {
			t.Errorf("Parse(%q) = %v, want %v", tt.target, err, tt.cause)
			continue
		}
		var typed *dialer.Error
		if !errors.As(err, &typed) || typed.Target != tt.target || typed.Op != "parse" {
			t.Errorf("Parse(%q) = %#v, want an *Error that has the target", tt.target, err)
		}
		if !strings.Contains(err.Error(), tt.says) {
			t.Errorf("Parse(%q) = %q, which lacks %q", tt.target, err, tt.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"shm:///x", "unix-abstract:n", "tcp://[::1]:1", "unix://x", ":", "tcp://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := dialer.Parse(s)
		if err != nil {
			return
		}
		if again, err := dialer.Parse(got.String()); err != nil || again != got {
			t.Errorf("Parse(%q) = %+v, but its String %q parses to %+v, %v", s, got, got.String(), again, err)
		}
	})
}

func TestTargetOf(t *testing.T) {
	tests := []struct {
		addr net.Addr
		want string
	}{
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 8}, "tcp://[::1]:8"},
		{&net.UnixAddr{Net: "unix", Name: "/x"}, "unix:///x"},
		{&net.UnixAddr{Net: "unix", Name: "x"}, "unix:x"},
		{&net.UnixAddr{Net: "unix", Name: "@x"}, "unix-abstract:x"},
		{&net.UnixAddr{Net: "unix", Name: "shm:x"}, "unix:shm:x"}, // a file of an odd name, no shm
		{shmAddr("/x"), "shm:///x"},
		{shmAddr("@x"), "shm-abstract:x"},
		{&net.UDPAddr{}, ""},
	}
	for _, tt := range tests {
		if got := dialer.TargetOf(tt.addr); got != tt.want {
			t.Errorf("TargetOf(%s %s) = %q, want %q", tt.addr.Network(), tt.addr, got, tt.want)
		}
	}
}
