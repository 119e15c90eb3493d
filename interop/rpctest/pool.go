package rpctest

import (
	"sync"
)

// countingPool is a mem.BufferPool that overwrites what it is given back, and
// knows how many buffers are out.
type countingPool struct {
	mu      sync.Mutex
	out     int
	changed chan struct{}
}

func newCountingPool() *countingPool { return &countingPool{changed: make(chan struct{})} }

func (p *countingPool) Get(length int) *[]byte {
	p.add(1)
	b := make([]byte, length)
	return &b
}

func (p *countingPool) Put(b *[]byte) {
	for i := range *b {
		(*b)[i] = 0xdb // whoever still reads it gets this
	}
	p.add(-1)
}

func (p *countingPool) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out += n
	close(p.changed)
	p.changed = make(chan struct{})
}

// awaitEmpty waits until every buffer has been given back.
func (p *countingPool) awaitEmpty(e *env) {
	for {
		p.mu.Lock()
		out, changed := p.out, p.changed
		p.mu.Unlock()
		if out == 0 {
			e.note("pool", "every buffer was given back")
			return
		}
		if !e.wait(changed, "the end of every buffer") {
			e.note("pool", "%d buffers are out", out)
			return
		}
	}
}
