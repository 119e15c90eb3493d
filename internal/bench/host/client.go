package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/carp-rpc/carp-go/internal/bench"
)

// patience is how long it may take until there is something to call.
const patience = 10 * time.Second

// load is one caller. Each request differs from the one before.
type load struct {
	call     call
	body     []byte
	seq      uint64
	deadline time.Duration
}

func (l *load) do() error {
	l.seq++
	binary.LittleEndian.PutUint64(l.body, l.seq)
	ctx := context.Background()
	if l.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.deadline)
		defer cancel()
	}
	got, err := l.call(ctx, l.body)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, l.body) {
		return errors.New("what came back differs from what was sent")
	}
	return nil
}

func connect(ctx context.Context, c bench.Case) (bench.Load, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var deadline time.Duration
	if text := c.Set[setDeadline]; text != "" {
		var err error
		if deadline, err = time.ParseDuration(text); err != nil {
			return bench.Load{}, err
		}
	}
	f, end, err := dial(ctx, c)
	if err != nil {
		return bench.Load{}, err
	}
	callers := make([]*load, max(c.Callers, 1))
	for i := range callers {
		body := make([]byte, c.Size)
		seed := [32]byte{byte(i)}
		_, _ = rand.NewChaCha8(seed).Read(body)
		callers[i] = &load{call: f, body: body, deadline: deadline}
	}
	return bench.Load{Do: func(i int) error { return callers[i].do() }, Close: end}, nil
}
