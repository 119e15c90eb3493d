package unixsock_test

import (
	"errors"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/carp-rpc/carp-go/internal/unixsock"
)

func TestCheck(t *testing.T) {
	tests := []struct {
		name string
		addr string
		want error // nil: the address is good
	}{
		{"a path", "/run/x.sock", nil},
		{"a relative path", "x.sock", nil},
		{"a path that just fits", "/" + strings.Repeat("x", unixsock.MaxLen-1), nil},
		{"a path one over", "/" + strings.Repeat("x", unixsock.MaxLen), unixsock.ErrTooLong},
		{"one over, asked for by its errno", "/" + strings.Repeat("x", unixsock.MaxLen), syscall.ENAMETOOLONG},
		{"an abstract name one over", "@" + strings.Repeat("x", unixsock.MaxLen+1), unixsock.ErrTooLong},
		{"nothing", "", unixsock.ErrEmpty},
		{"the abstract namespace without a name", "@", unixsock.ErrEmpty},
		{"the kernel would bind /run/x", "/run/x\x00.sock", unixsock.ErrNUL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := unixsock.Check(tt.addr); !errors.Is(err, tt.want) {
				t.Errorf("Check(%q) = %v, want %v", tt.addr, err, tt.want)
			}
		})
	}
}

func TestCheckAbstract(t *testing.T) {
	for _, name := range []string{"@x", "@" + strings.Repeat("x", unixsock.MaxLen)} {
		err := unixsock.Check(name)
		if runtime.GOOS == "linux" && err != nil {
			t.Errorf("Check(%q) = %v", name, err)
		}
		if runtime.GOOS != "linux" && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Check(%q) = %v, want ErrUnsupported", name, err)
		}
	}
}

// What the kernel accepts is what Check accepts.
func TestMaxLenIsTheKernels(t *testing.T) {
	t.Chdir(t.TempDir()) // a relative path of one element may be as long as sun_path
	for _, n := range []int{unixsock.MaxLen, unixsock.MaxLen + 1} {
		addr := strings.Repeat("x", n)
		ln, err := unixsock.Listen(t.Context(), addr)
		if err == nil {
			ln.Close()
		}
		if fits := n <= unixsock.MaxLen; fits != (err == nil) {
			t.Errorf("Listen on a path of %d bytes: %v", n, err)
		}
	}
}

func TestTooLongNamesLimitAndLength(t *testing.T) {
	_, err := unixsock.Listen(t.Context(), "/"+strings.Repeat("x", 199))
	var tooLong *unixsock.TooLongError
	if !errors.As(err, &tooLong) {
		t.Fatalf("Listen = %v, want a TooLongError", err)
	}
	if tooLong.Len != 200 || tooLong.Limit != unixsock.MaxLen {
		t.Errorf("error says %d bytes, limit %d", tooLong.Len, tooLong.Limit)
	}
	for _, want := range []string{"200", "/xxx"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}
