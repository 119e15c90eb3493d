package leak

import (
	"bytes"
	"runtime"
	"strings"
)

// bystanders mark the stacks of goroutines that no test can end.
var bystanders = []string{
	"\ncreated by testing.",    // other tests
	"\ncreated by runtime.",    // the runtime's own that it doesn't hide
	"\ncreated by os/signal.",  // lives on after signal.Stop
	"\ntesting.(*T).Parallel(", // a test that waits for its turn
}

// takeGoroutines lists all goroutines but the calling one.
func takeGoroutines() snapshot {
	var s snapshot
	// The first stack is always that of the calling goroutine.
	for _, stack := range bytes.Split(allStacks(), []byte("\n\n"))[1:] {
		text := strings.TrimSpace(string(stack))
		// "goroutine 7 [select]:\n…"
		id, _, _ := strings.Cut(strings.TrimPrefix(text, "goroutine "), " ")
		if !isBystander(text) {
			s = append(s, item{kindGoroutine, id, strings.TrimPrefix(text, "goroutine ")})
		}
	}
	return s
}

func isBystander(stack string) bool {
	for _, mark := range bystanders {
		if strings.Contains(stack, mark) {
			return true
		}
	}
	return false
}

func allStacks() []byte {
	for size := 1 << 16; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return buf[:n]
		}
	}
}
