package rpctest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// A panic of a handler ends the process. Such cases run in a child: the test
// binary again, with the same test selected, and the crash it shall suffer in
// the environment. Run, in the child, does just that.
const crashVariable = "RPCTEST_CRASH"

// crashes are what can go wrong in code that the server calls.
var crashes = map[string]func(e *env){
	"unary handler": func(e *env) {
		c := e.pair(handlers{unary: func(context.Context, *message) (*message, error) { panic("in a unary handler") }})
		c.unary(e.ctx, text("x"))
	},
	"stream handler": func(e *env) {
		c := e.pair(handlers{bidi: func(grpc.ServerStream) error { panic("in a stream handler") }})
		if cs, err := c.bidi(e.ctx); err == nil {
			cs.RecvMsg(new(message))
		}
	},
	"server interceptor": func(e *env) {
		c := e.dial(e.serve(handlers{unary: echoUnary}, func(cfg *ServerConfig) {
			cfg.UnaryInterceptors = []grpc.UnaryServerInterceptor{func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
				panic("in an interceptor")
			}}
		}))
		c.unary(e.ctx, text("x"))
	},
	"handler's nil pointer": func(e *env) {
		c := e.pair(handlers{unary: func(_ context.Context, m *message) (*message, error) {
			var nothing *client
			return nothing.unary(context.Background(), m)
		}})
		c.unary(e.ctx, text("x"))
	},
}

// processCases are about handlers that end their goroutine or the process.
func processCases() []testCase {
	list := []testCase{
		{
			name: "process/Goexit in a unary handler",
			rule: "A handler that ends its goroutine fails its call, at its deadline at the latest, and no other.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(_ context.Context, m *message) (*message, error) {
					if string(m.GetValue()) == "exit" {
						runtime.Goexit()
					}
					return m, nil
				}})
				ctx, cancel := context.WithTimeout(e.ctx, shortly)
				defer cancel()
				_, err := c.unary(ctx, text("exit"))
				e.client("failed: %v", err != nil)
				e.client("next: %s", showReply(c.unary(e.ctx, text("go on"))))
			},
		},
		{
			name: "process/Goexit in a stream handler",
			rule: "A stream handler that ends its goroutine fails its call, at its deadline at the latest, and no other.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary, bidi: func(ss grpc.ServerStream) error {
					e.write(ss, "first")
					runtime.Goexit()
					return nil
				}})
				ctx, cancel := context.WithTimeout(e.ctx, shortly)
				defer cancel()
				cs, err := c.bidi(ctx)
				e.client("open: %s", showError(err))
				e.recv(cs)
				e.client("failed: %v", cs.RecvMsg(new(message)) != nil)
				e.client("next: %s", showReply(c.unary(e.ctx, text("go on"))))
			},
		},
	}
	for _, name := range []string{"unary handler", "stream handler", "server interceptor", "handler's nil pointer"} {
		list = append(list, testCase{
			name: "process/panic of a " + name,
			rule: "A panic in what the server calls is not recovered: it ends the process.",
			run:  func(e *env) { e.crash(name) },
		})
	}
	return list
}

// crash runs a crash in a child process and takes down how that ended.
func (e *env) crash(name string) {
	exe, err := os.Executable()
	if err != nil {
		e.note(harnessLane, "no path of this program: %v", err)
		return
	}
	cmd := exec.CommandContext(e.ctx, exe, "-test.run", e.runPattern, "-test.count=1", "-test.timeout", (2 * e.limit).String())
	cmd.Env = append(os.Environ(), crashVariable+"="+e.stack.Name+"|"+name)
	cmd.WaitDelay = e.limit
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	e.note("process", "ended with: %v", err)
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "panic: ") {
			e.note("process", "%s", strings.TrimSpace(line))
			return
		}
	}
	e.note("process", "no panic in its output:\n%s", out.String())
}

// crashHere carries out the crash that this process was started for, if the
// stack is the one that it is for. It reports whether it is such a process.
func crashHere(t *testing.T, stacks ...Stack) bool {
	what, ok := os.LookupEnv(crashVariable)
	if !ok {
		return false
	}
	stack, name, _ := strings.Cut(what, "|")
	for _, s := range stacks {
		if s.Name == stack {
			observe(t, s, testCase{run: crashes[name]}, "", time.Minute)
			fmt.Println("survived the crash")
			os.Exit(0)
		}
	}
	return true
}

// runPattern is the -test.run pattern of one test and no other.
func runPattern(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
