package shm

import (
	"testing"
	"time"
)

func TestNapEndsWithTheWakeUp(t *testing.T) {
	p, c := memRing(16)
	there := func() bool {
		n, err := c.Len(1)
		return n > 0 || err != nil
	}
	woken := make(chan bool)
	go func() { woken <- c.Nap(time.Minute, there) }()
	for c.w.rwait.Load() != napping {
		pause(spinPause)
	}
	if _, err := p.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if p.NeedWake() {
		t.Error("a napping consumer needs no doorbell")
	}
	if !<-woken {
		t.Error("woke up and found nothing")
	}
}

func TestNapEndsInTime(t *testing.T) {
	p, c := memRing(16)
	start := time.Now()
	const limit = 5 * time.Millisecond
	if c.Nap(limit, func() bool { return false }) {
		t.Error("a nap without a reason succeeded")
	}
	if took := time.Since(start); took < limit {
		t.Errorf("it took %v, want %v", took, limit)
	}
	if p.NeedWake() || c.w.rwait.Load() != awake {
		t.Error("it is still announced")
	}
}

func TestNoNapIfThereIsAReason(t *testing.T) {
	p, _ := memRing(16)
	if !p.Nap(time.Minute, func() bool { return true }) {
		t.Error("a nap that had a reason to end did not succeed")
	}
}

func TestNapDoesNotAllocate(t *testing.T) {
	p, _ := memRing(16)
	nothing := func() bool { return false }
	if n := testing.AllocsPerRun(20, func() { p.Nap(time.Microsecond, nothing) }); n != 0 {
		t.Errorf("%v allocations per nap", n)
	}
}
