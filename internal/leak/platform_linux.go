package leak

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// takePlatform lists descriptors, mappings and segments.
func takePlatform() (snapshot, error) {
	if err := warmUp(); err != nil {
		return nil, err
	}
	var all snapshot
	for _, take := range []func() (snapshot, error){takeDescriptors, takeMappings, takeSegments} {
		s, err := take()
		if err != nil {
			return nil, err
		}
		all = append(all, s...)
	}
	return all, nil
}

// warmUp makes the runtime open the descriptors of its network poller, which it
// does at the first use and keeps for ever.
var warmUp = sync.OnceValue(func() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	return errors.Join(r.Close(), w.Close())
})

const descriptors = "/proc/self/fd"

func takeDescriptors() (snapshot, error) {
	entries, err := os.ReadDir(descriptors)
	if err != nil {
		return nil, err
	}
	var s snapshot
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(descriptors, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed since, like the one that read the directory
		}
		if err != nil {
			return nil, err
		}
		text := e.Name() + " → " + target
		s = append(s, item{kindDescriptor, text, text})
	}
	return s, nil
}

// takeMappings lists the mappings of shared memory.
func takeMappings() (snapshot, error) {
	var s snapshot
	err := eachLine("/proc/self/maps", func(line string) {
		// address perms offset dev inode path
		if f := strings.Fields(line); len(f) > 5 && isSharedMemory(f[5]) {
			path := strings.Join(f[5:], " ")
			s = append(s, item{kindMapping, f[0] + " " + path, fmt.Sprintf("%s %s of inode %s at %s", path, f[1], f[4], f[0])})
		}
	})
	return s, err
}

func isSharedMemory(path string) bool {
	return strings.HasPrefix(path, "/memfd:") || strings.HasPrefix(path, "/SYSV")
}

// takeSegments lists the System V segments that this process created.
func takeSegments() (snapshot, error) {
	pid := strconv.Itoa(os.Getpid())
	var s snapshot
	err := eachLine("/proc/sysvipc/shm", func(line string) {
		// key shmid perms size cpid lpid nattch …
		if f := strings.Fields(line); len(f) > 6 && f[4] == pid {
			s = append(s, item{kindSegment, f[1], fmt.Sprintf("%s, %s bytes, attached %s times", f[1], f[3], f[6])})
		}
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without System V shared memory
	}
	return s, err
}

func eachLine(path string, do func(line string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		do(lines.Text())
	}
	return lines.Err()
}
