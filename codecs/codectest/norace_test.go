//go:build !race

package codectest_test

// size is that of the largest messages that gRPC accepts unless told otherwise.
const size = 4 << 20
