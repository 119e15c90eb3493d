package shmconn

import (
	"context"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// Pipe makes a connection within this process, by the very steps of Listen and
// Dial. It is for tests and examples.
func Pipe(cfg *Config) (c1, c2 *Conn, err error) {
	c1, c2, err = pipe(cfg)
	if err != nil {
		return nil, nil, addrError("dial", "pipe", err)
	}
	return c1, c2, nil
}

func pipe(cfg *Config) (*Conn, *Conn, error) {
	r, err := cfg.resolve()
	if err != nil {
		return nil, nil, err
	}
	a, b, err := socketPair()
	if err != nil {
		return nil, nil, err
	}
	type outcome struct {
		sess *shm.Session
		err  error
	}
	accepted := make(chan outcome, 1)
	go func() {
		sess, err := shm.Accept(b, r.options(nil))
		if err != nil {
			_ = b.Close() // or the dialler would wait for an answer
		}
		accepted <- outcome{sess, err}
	}()
	dialled, err := connect(context.Background(), a, r.options(nil))
	if err != nil {
		_ = a.Close() // or the listener would wait for an answer
	}
	other := <-accepted
	if err == nil {
		err = other.err
	}
	if err != nil {
		if dialled != nil {
			dialled.Close()
		}
		if other.sess != nil {
			other.sess.Close()
		}
		return nil, nil, err
	}
	end := Addr{Name: "pipe"}
	return open(dialled, end, end, r), open(other.sess, end, end, r), nil
}
