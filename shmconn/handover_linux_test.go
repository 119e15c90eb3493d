package shmconn_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/shmconn"
)

var (
	_ = role("generation", generation)
	_ = role("inherits", inherits)
)

// generation is a server that tells each dialler its process id. It listens at its
// argument if it is the first, and takes over from its parent otherwise. A line on its
// input makes it start the next one and hand over to it.
func generation(c *testproc.Child) error {
	l, err := generationListener(c.Args[0])
	if err != nil {
		return err
	}
	c.Ready("%d", os.Getpid())
	over := make(chan error, 1)
	go func() {
		if _, err := c.In.ReadString('\n'); err != nil {
			l.Close()
			over <- nil
			return
		}
		over <- handOver(c, l)
	}()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return <-over
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(conn, "%d\n", os.Getpid()); err != nil {
			return err
		}
		conn.Close()
	}
}

func generationListener(addr string) (*shmconn.Listener, error) {
	files, err := shmconn.InheritedFiles()
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return shmconn.Listen(addr, patient)
	}
	defer files[0].Close()
	l, err := shmconn.FileListener(files[0], patient)
	if err == nil {
		l.SetUnlinkOnClose(true)
	}
	return l, err
}

// handOver starts the next generation, which ends with this process's input, and lets it
// take over.
func handOver(c *testproc.Child, l *shmconn.Listener) error {
	f, err := l.File()
	if err != nil {
		return err
	}
	defer f.Close()
	next := exec.Command("/proc/self/exe", c.Args...)
	next.Env = append(os.Environ(), "CARP_TESTPROC_ROLE=generation", "LISTEN_FDS=1")
	next.ExtraFiles = []*os.File{f}
	next.Stderr = os.Stderr
	next.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := next.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := next.StdoutPipe()
	if err != nil {
		return err
	}
	if err := next.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	l.Drain()
	c.Ready("%s", strings.TrimSpace(line))
	_, _ = c.In.ReadString('\n')
	stdin.Close()
	return next.Wait()
}

// While a listener is handed to another process, with many diallers at it, none of them is
// refused, and each is served.
func TestHandover(t *testing.T) {
	leak.Check(t)
	addr := sockPath(t)
	child := testproc.Start(t, "generation", addr)
	first := child.ReadLine()

	var served sync.Map // by process id: *atomic.Int32
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				pid, err := whoServes(addr)
				if err != nil {
					t.Errorf("a dialler got %v", err)
					return
				}
				n, _ := served.LoadOrStore(pid, new(atomic.Int32))
				n.(*atomic.Int32).Add(1)
			}
		})
	}
	enough := func(pid string) {
		eventually(t, "process "+pid+" served enough", func() bool {
			n, ok := served.Load(pid)
			return ok && n.(*atomic.Int32).Load() >= 100
		})
	}
	enough(first)
	child.Send("hand over")
	second := child.ReadLine()
	enough(second)
	close(stop)
	wg.Wait()

	// The old one serves nobody any more, the file is the new one's.
	for range 20 {
		if pid, err := whoServes(addr); pid != second || err != nil {
			t.Errorf("served by process %s, %v, want %s", pid, err, second)
		}
	}
	child.CloseInput()
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(addr); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's file is still there: %v", err)
	}
}

func whoServes(addr string) (pid string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := shmconn.Dial(ctx, addr, patient)
	if err != nil {
		return "", err
	}
	defer c.Close()
	line, err := io.ReadAll(c)
	return strings.TrimSpace(string(line)), err
}

// Who was under way when Drain was called is still accepted.
func TestDrain(t *testing.T) {
	leak.Check(t)
	addr := sockPath(t)
	l := listen(t, addr, nil)
	a, b := meet(t, l, nil)
	a.Close()
	b.Close()
	half, err := net.Dial("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	eventually(t, "the handshake is under way", func() bool { return l.Handshakes() == 1 })
	dialled := make(chan error)
	go func() {
		c, err := shmconn.Dial(context.Background(), addr, patient)
		if err == nil {
			defer c.Close()
			err = read(c)
		}
		dialled <- err
	}()
	eventually(t, "another handshake is done", func() bool { return l.Waiting() == 2 && l.Handshakes() == 1 })
	l.Drain()
	c, err := l.Accept()
	if err != nil {
		t.Fatalf("Accept of a connection under way: %v", err)
	}
	if err := write(c); err != nil {
		t.Error(err)
	}
	c.Close()
	if err := <-dialled; err != nil {
		t.Errorf("the dialler under way got %v", err)
	}
	half.Close() // gives up
	_, err = l.Accept()
	wantOpError(t, err, "accept", addr, net.ErrClosed)
}

func TestDrainWithoutAccept(t *testing.T) {
	leak.Check(t)
	addr := sockPath(t)
	l := listen(t, addr, nil)
	l.Drain()
	_, err := l.Accept()
	wantOpError(t, err, "accept", addr, net.ErrClosed)
}

// Giving the socket to a child must not make it blocking here: Close would hang.
func TestFileStaysNonBlocking(t *testing.T) {
	leak.Check(t)
	l := listen(t, sockPath(t), nil)
	done := make(chan error)
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.Close()
		}
		done <- err
	}()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Fd() // what os/exec does
	meetErr := make(chan error)
	go func() {
		c, err := shmconn.Dial(context.Background(), l.Addr().(shmconn.Addr).Name, patient)
		if err == nil {
			c.Close()
		}
		meetErr <- err
	}()
	if err := errors.Join(<-done, <-meetErr); err != nil {
		t.Fatal(err)
	}
	ends(t, "Close", func() { l.Close() })
}

func TestFileListenerErrors(t *testing.T) {
	leak.Check(t)
	regular, err := os.Create(sockPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer regular.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	tcpFile, err := tcp.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer tcpFile.Close()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	pairFile := os.NewFile(uintptr(fds[0]), "a pair")
	defer pairFile.Close()
	defer syscall.Close(fds[1])
	for _, c := range []struct {
		f    *os.File
		says string
	}{
		{regular, "socket"},
		{tcpFile, "want a unix socket"},
		{pairFile, "not a listening stream socket"},
	} {
		l, err := shmconn.FileListener(c.f, nil)
		if err == nil {
			l.Close()
		}
		wantOpError(t, err, "listen", c.f.Name(), nil, c.says)
	}
}

// inherits tells what it got, when asked twice.
func inherits(c *testproc.Child) error {
	for range 2 {
		files, err := shmconn.InheritedFiles()
		var names []string
		for _, f := range files {
			names = append(names, f.Name())
		}
		c.Ready("%s", strconv.Quote(fmt.Sprint(names, " ", err, " ", os.Getenv("LISTEN_FDS"))))
	}
	return nil
}

func TestInheritedFiles(t *testing.T) {
	leak.Check(t)
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const none = "[] <nil> "
	for _, c := range []struct {
		env  []string
		want string
	}{
		{nil, none},
		{[]string{"LISTEN_FDS=2"}, "[LISTEN_FD_3 LISTEN_FD_4] <nil> "},
		{[]string{"LISTEN_FDS=2", "LISTEN_FDNAMES=a:"}, "[a LISTEN_FD_4] <nil> "},
		{[]string{"LISTEN_FDS=2", "LISTEN_FDNAMES=a:b:c"}, "[a b] <nil> "},
		{[]string{"LISTEN_FDS=2", "LISTEN_PID=1"}, none},
		{[]string{"LISTEN_FDS=0"}, none},
		{[]string{"LISTEN_FDS=999"}, "[] LISTEN_FDS=999: descriptor N: bad file descriptor "},
		{[]string{"LISTEN_FDS=-1"}, `[] LISTEN_FDS="-1": want a number from 0 to 1000 `},
		{[]string{"LISTEN_FDS=x"}, `[] LISTEN_FDS="x": want a number from 0 to 1000 `},
	} {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self)
		cmd.Env = append(append(os.Environ(), "CARP_TESTPROC_ROLE=inherits"), c.env...)
		cmd.ExtraFiles = []*os.File{file, file}
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%q: %v", c.env, err)
			continue
		}
		// Which is the first that isn't open depends on the runtime.
		out = regexp.MustCompile(`descriptor \d+`).ReplaceAll(out, []byte("descriptor N"))
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if want := []string{strconv.Quote(c.want), strconv.Quote(none)}; fmt.Sprint(lines) != fmt.Sprint(want) {
			t.Errorf("%q: %s, want %s", c.env, lines, want)
		}
	}
}
