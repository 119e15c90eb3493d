//go:build linux

// Package model_test runs the exploration of the connection's code in package interleave,
// which has to be compiled in a way of its own.
package model_test

import (
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore/exploretest"
	"github.com/carp-rpc/carp-go/internal/explore/overlay"

	// The results of this test depend on them, and may be cached as long as these
	// don't change.
	_ "github.com/carp-rpc/carp-go/internal/explore"
	_ "github.com/carp-rpc/carp-go/internal/explore/atomic"
	_ "github.com/carp-rpc/carp-go/internal/explore/sync"
	_ "github.com/carp-rpc/carp-go/internal/shm"
	_ "github.com/carp-rpc/carp-go/internal/shm/model/sim"
	_ "github.com/carp-rpc/carp-go/shmconn"
)

const (
	shmDir     = ".."
	shmconnDir = "../../../shmconn"
	simPath    = "github.com/carp-rpc/carp-go/internal/shm/model/sim"
)

// explored are the files under control.
var explored = map[string][]string{
	shmDir:     {"ring.go", "wait.go", "words_unsafe.go", "futex_linux_unsafe.go", "session.go", "doorbell_linux.go"},
	shmconnDir: {"conn.go", "half.go", "door.go", "read.go", "write.go", "deadline.go"},
}

// sockets are the edits that give a session a simulated socket.
var sockets = map[string][]overlay.Edit{
	"session.go": {
		{Old: "ctl  *net.UnixConn\n", New: "ctl modelSocket\n"},
		{Old: "ctl *net.UnixConn,", New: "ctl modelSocket,"},
		{Old: "\"net\"\n", New: "_ \"net\"\n"},
	},
}

// code is the connection, between a simulated socket and its users.
var code = exploretest.Code{
	Files:   explored,
	Imports: map[string]map[string]string{"doorbell_linux.go": {"golang.org/x/sys/unix": simPath}},
	Edits:   sockets,
	Added: map[string]string{
		shmDir + "/zz_model.go":     "interleave/shm.go.txt",
		shmconnDir + "/zz_model.go": "interleave/shmconn.go.txt",
	},
}

// TestEveryOrder: whatever the order of the two ends' steps, nobody sleeps for ever
// and every byte arrives.
func TestEveryOrder(t *testing.T) { code.EveryOrder(t) }
