package shmconn_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/shmconn"
)

var (
	_ = role("dial", dialOnce)
	_ = role("serve", serveOnce)
	_ = role("elsewhere", elsewhere)
	_ = role("short-of-files", shortOfFiles)
	_ = role("dialler-short-of-files", diallerShortOfFiles)
)

// otherUID is a user that need not exist and is not ours.
const otherUID = 54321

// become changes this process's user to the one that an argument names, if any.
func become(args []string) error {
	if len(args) == 0 {
		return nil
	}
	id, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := syscall.Setgid(id); err != nil {
		return err
	}
	return syscall.Setuid(id)
}

// everybody lets all users in, so that it is the other side that decides.
var everybody = &shmconn.Config{Allow: func(shmconn.PeerCred) error { return nil }}

// dialOnce dials its first argument, as the user in the second, and tells what came of it.
func dialOnce(c *testproc.Child) error {
	if err := become(c.Args[1:]); err != nil {
		return err
	}
	conn, err := shmconn.Dial(context.Background(), c.Args[0], everybody)
	c.Ready("%s", strconv.Quote(fmt.Sprint(err)))
	if err != nil {
		return nil
	}
	defer conn.Close()
	_, _ = c.In.ReadString('\n')
	return nil
}

// serveOnce listens at its first argument, as the user in the second, until it is told
// to end. It takes only its own user and root.
func serveOnce(c *testproc.Child) error {
	if err := become(c.Args[1:]); err != nil {
		return err
	}
	l, err := shmconn.Listen(c.Args[0], patient)
	if err != nil {
		return err
	}
	go func() {
		_, _ = c.In.ReadString('\n')
		l.Close()
	}()
	if err := os.Chmod(c.Args[0], 0o777); err != nil {
		return err
	}
	c.Ready("listening")
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil
		}
		defer conn.Close()
	}
}

// elsewhere runs itself again in another user namespace, whose root is otherUID here, in
// the role and with the arguments that it is given.
func elsewhere(c *testproc.Child) error {
	cmd := exec.Command("/proc/self/exe", c.Args[1:]...)
	cmd.Env = append(os.Environ(), "CARP_TESTPROC_ROLE="+c.Args[0])
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: otherUID, Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids,
		Credential: &syscall.Credential{}, Pdeathsig: syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		c.Ready("unable: %v", err)
		return nil
	}
	_, _ = c.In.ReadString('\n')
	stdin.Close()
	return cmd.Wait()
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		testproc.Unable(t, "becoming another user takes root")
	}
}

// openPath is an address in a folder that everybody can use: it is the credentials that
// are to refuse, not the file system.
func openPath(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "s")
}

// childSays starts a child and gives its first line, unquoted.
func childSays(t *testing.T, role string, args ...string) (*testproc.Proc, string) {
	t.Helper()
	child := testproc.Start(t, role, args...)
	line := child.ReadLine()
	if why, ok := strings.CutPrefix(line, "unable: "); ok {
		testproc.Unable(t, "another user namespace: "+why)
	}
	if text, err := strconv.Unquote(line); err == nil {
		return child, text
	}
	return child, line
}

func TestOtherUserDials(t *testing.T) {
	needRoot(t)
	leak.Check(t)
	l := listen(t, openPath(t), nil)
	addr := l.Addr().(shmconn.Addr).Name
	if err := os.Chmod(addr, 0o777); err != nil {
		t.Fatal(err)
	}
	go l.Accept()
	for _, role := range [][]string{{"dial", addr, fmt.Sprint(otherUID)}, {"elsewhere", "dial", addr}} {
		child, said := childSays(t, role[0], role[1:]...)
		if want := fmt.Sprintf("refused by the listener: the dialler is a process of uid %d; only uid 0 and root may", otherUID); !strings.Contains(said, want) {
			t.Errorf("%s: the dialler got %q, want %q", role[0], said, want)
		}
		child.CloseInput()
	}
	l.Close()
}

// Whom a listener's predicate lets in, it lets in, with the other backing where it must.
func TestOtherUserIsLetIn(t *testing.T) {
	needRoot(t)
	leak.Check(t)
	l := listen(t, openPath(t), &shmconn.Config{
		Backings: []shmconn.Backing{shmconn.SysV, shmconn.MemFD},
		Allow: func(p shmconn.PeerCred) error {
			if p.UID != otherUID {
				return errors.New("not expected")
			}
			return nil
		},
	})
	addr := l.Addr().(shmconn.Addr).Name
	if err := os.Chmod(addr, 0o777); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan *shmconn.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c.(*shmconn.Conn)
		}
	}()
	child, said := childSays(t, "dial", addr, fmt.Sprint(otherUID))
	if said != "<nil>" {
		t.Fatalf("the dialler got %q", said)
	}
	c := <-accepted
	defer c.Close()
	if got := c.PeerCred(); got.UID != otherUID || got.PID != child.PID() {
		t.Errorf("peer %+v, want process %d of uid %d", got, child.PID(), otherUID)
	}
	info := c.Info()
	if want := fmt.Sprintf("may not be used by uid %d", otherUID); info.Backing != shmconn.MemFD || !strings.Contains(info.Fallback, want) {
		t.Errorf("%+v: want memfd, because the segment %q", info, want)
	}
}

func TestOtherUserServes(t *testing.T) {
	needRoot(t)
	leak.Check(t)
	path := openPath(t)
	for _, c := range []struct {
		role  []string
		dials string // what a dialler gets that takes only its own user
		says  string // what a dialler gets that takes everybody; empty is success
	}{
		{[]string{"serve", path + "1", fmt.Sprint(otherUID)}, fmt.Sprintf("the listener is a process of uid %d", otherUID), ""},
		{[]string{"elsewhere", "serve", path + "2"}, fmt.Sprintf("the listener is a process of uid %d", otherUID), "another user namespace"},
	} {
		child, _ := childSays(t, c.role[0], c.role[1:]...)
		addr := path + "1"
		if c.role[0] == "elsewhere" {
			addr = path + "2"
		}
		_, err := shmconn.Dial(t.Context(), addr, patient)
		wantOpError(t, err, "dial", addr, shmconn.ErrRefused, c.dials)
		conn, err := shmconn.Dial(t.Context(), addr, everybody)
		switch {
		case c.says != "":
			wantOpError(t, err, "dial", addr, shmconn.ErrRefused, c.says)
		case err != nil:
			t.Errorf("dialling as root: %v", err)
		default:
			conn.Close()
		}
		child.CloseInput()
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// shortOfFiles listens at its first argument, with as many descriptors left as the second
// says, and tells how each Accept goes. A line on its input gives it more.
func shortOfFiles(c *testproc.Child) error {
	l, err := shmconn.Listen(c.Args[0], patient)
	if err != nil {
		return err
	}
	defer l.Close()
	left, err := strconv.Atoi(c.Args[1])
	if err != nil {
		return err
	}
	// The poller opens its own descriptors at its first use.
	if probe, err := net.Listen("unix", fmt.Sprintf("@carp-probe-%d", os.Getpid())); err == nil {
		probe.Close()
	}
	restore, err := limitFiles(left)
	if err != nil {
		return err
	}
	go func() {
		_, _ = c.In.ReadString('\n')
		restore()
		_, _ = c.In.ReadString('\n')
		l.Close()
	}()
	c.Ready("listening")
	var last string
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		var said string
		if err == nil {
			defer conn.Close()
			info := conn.(*shmconn.Conn).Info()
			said = fmt.Sprintf("%v: %s", info.Backing, info.Fallback)
		} else {
			var temporary interface{ Temporary() bool }
			said = fmt.Sprintf("%v, temporary: %v", err, errors.As(err, &temporary) && temporary.Temporary())
		}
		if said != last { // the same error comes again as long as it lasts
			c.Ready("%s", strconv.Quote(said))
		}
		last = said
	}
}

// limitFiles lets this process open so many descriptors more.
func limitFiles(more int) (restore func(), err error) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		return nil, err
	}
	next, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	unix.Close(next)
	low := old
	low.Cur = uint64(next + more) // descriptors below next are in use
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		return nil, err
	}
	return func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) }, nil
}

// A listener without descriptors tells Accept so, with an error that says that it passes;
// when it does, those are served who waited.
func TestListenerOutOfFiles(t *testing.T) {
	leak.Check(t)
	addr := sockPath(t)
	child := testproc.Start(t, "short-of-files", addr, "0")
	child.ReadLine()
	dialled := make(chan error)
	go func() {
		c, err := shmconn.Dial(context.Background(), addr, &shmconn.Config{HandshakeTimeout: patience})
		if err == nil {
			c.Close()
		}
		dialled <- err
	}()
	said, err := strconv.Unquote(child.ReadLine())
	if err != nil || !strings.Contains(said, "too many open files, temporary: true") || !strings.Contains(said, addr) {
		t.Errorf("Accept failed with %q, %v", said, err)
	}
	child.Send("more")
	select {
	case err := <-dialled:
		if err != nil {
			t.Errorf("the dialler who waited got %v", err)
		}
	case <-time.After(patience):
		t.Error("the dialler who waited was forgotten")
	}
}

// With a descriptor for the socket and none for a memfd, the listener falls back, and both
// sides know why.
func TestFallbackOutOfFiles(t *testing.T) {
	leak.Check(t)
	addr := sockPath(t)
	child := testproc.Start(t, "short-of-files", addr, "1")
	child.ReadLine()
	c := dial(t, addr, nil)
	want := "memfd: the listener could not make it: memfd_create: too many open files"
	if info := c.Info(); info.Backing != shmconn.SysV || info.Fallback != want {
		t.Errorf("%+v, want SysV because %q", info, want)
	}
	for range 3 { // other lines are about the next connection, for which there is no descriptor
		said := child.ReadLine()
		if said == strconv.Quote("sysv: "+want) {
			return
		}
		if !strings.Contains(said, "accept4: too many open files") {
			t.Errorf("the listener says %s", said)
		}
	}
	t.Error("the listener does not tell about the fallback")
}

// diallerShortOfFiles dials its first argument with one descriptor left, for the socket,
// and tells what memory it got.
func diallerShortOfFiles(c *testproc.Child) error {
	if probe, err := net.Listen("unix", fmt.Sprintf("@carp-probe-%d", os.Getpid())); err == nil {
		probe.Close()
	}
	if _, err := limitFiles(1); err != nil {
		return err
	}
	conn, err := shmconn.Dial(context.Background(), c.Args[0], patient)
	if err != nil {
		return err
	}
	defer conn.Close()
	c.Ready("%s", strconv.Quote(fmt.Sprintf("%v: %s", conn.Info().Backing, conn.Info().Fallback)))
	return nil
}

// The same for a dialler that has no descriptor to receive a memfd with.
func TestFallbackOfDiallerOutOfFiles(t *testing.T) {
	leak.Check(t)
	l := listen(t, sockPath(t), nil)
	accepted := make(chan *shmconn.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c.(*shmconn.Conn)
		}
	}()
	_, said := childSays(t, "dialler-short-of-files", l.Addr().(shmconn.Addr).Name)
	want := "sysv: memfd: the dialler could not map it: receive the descriptor of the memfd: too many open files"
	if said != want {
		t.Errorf("the dialler says %q, want %q", said, want)
	}
	c := <-accepted
	defer c.Close()
	if info := c.Info(); fmt.Sprintf("%v: %s", info.Backing, info.Fallback) != want {
		t.Errorf("the listener says %+v, want %q", info, want)
	}
}
