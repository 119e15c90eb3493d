package shm

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// orphanAge is how old a segment that nobody is attached to must be if it isn't known
// that its creator is gone. Creating one takes microseconds; should its creator
// have been stopped so long, its attach fails, and it falls back.
const orphanAge = time.Minute

// Sweep removes the System V segments that processes of this user left behind when
// they were killed while they created them. It gives their number.
func Sweep() (removed int) {
	f, err := os.Open("/proc/sysvipc/shm")
	if err != nil {
		return 0 // a kernel without System V shared memory
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if id, ok := orphan(lines.Text(), os.Geteuid(), time.Now()); ok {
			if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err == nil {
				removed++
			}
		}
	}
	return removed
}

// orphan tells whether a line of /proc/sysvipc/shm is about an orphan of ours.
func orphan(line string, uid int, now time.Time) (id int, ok bool) {
	// key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime …
	f := strings.Fields(line)
	if len(f) < 14 {
		return 0, false
	}
	num := func(i int) int64 {
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	if num(0)&^0xffff != sysvKey || num(7) != int64(uid) || num(6) != 0 {
		return 0, false
	}
	old := now.Sub(time.Unix(num(13), 0)) > orphanAge
	return int(num(1)), old || isGone(int(num(4)))
}

// isGone tells whether there is no process pid. 0 is one that can't be seen from here.
func isGone(pid int) bool {
	return pid > 0 && errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}
