//go:build race

package synth_test

// size is less than without the race detector, which is some twenty times as slow
// and has nothing to find in one goroutine.
const size = 128 << 10
