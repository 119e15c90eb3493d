package shmconn

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// SameUser is the default of [Config.Allow]: the peer's process belongs to this
// process's effective user or to root. Users of another user namespace that have no
// number in ours belong to neither.
func SameUser(p PeerCred) error { return sameUser(p, os.Geteuid(), everyUserIsKnown()) }

func sameUser(p PeerCred, uid int, allKnown bool) error {
	switch {
	case p.UID == overflowUID && !allKnown:
		// Not even for the user who has this number: it stands for others too.
		return fmt.Errorf("a process of a user from another user namespace, who has no number here (uid %d); only uid %d and root may",
			p.UID, uid)
	case p.UID == 0 || int(p.UID) == uid:
		return nil
	default:
		return fmt.Errorf("a process of uid %d; only uid %d and root may", p.UID, uid)
	}
}

// overflowUID is what Linux shows of a user who has no number in our user namespace
// (/proc/sys/kernel/overflowuid).
const overflowUID = 65534

// everyUserIsKnown tells whether each user of the system has a number in our user
// namespace, as in the one that the system started with.
var everyUserIsKnown = sync.OnceValue(func() bool {
	ranges, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return true // a kernel without user namespaces
	}
	return strings.Join(strings.Fields(string(ranges)), " ") == "0 0 4294967295"
})
