package shm

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// throttled adds up how often the cgroups that this process is in used up their CPU
// time, its own and those above it that can be seen.
func (systemProbe) throttled() uint64 {
	var sum uint64
	for _, file := range cpuStats() {
		sum += readThrottled(file)
	}
	return sum
}

// cpuStats are the cpu.stat files of this process's cgroups. That the process is moved
// to other ones is rare enough.
var cpuStats = sync.OnceValue(func() []string {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return findCPUStats(groups, mounts)
})

// cgroupMount is where a hierarchy of cgroups is mounted.
type cgroupMount struct {
	root  string // the group that the mount point shows
	point string
}

// findCPUStats finds them from the contents of /proc/self/cgroup and mountinfo.
func findCPUStats(groups, mounts []byte) (files []string) {
	for line := range strings.Lines(string(groups)) {
		// hierarchy-id:controllers:path; version 2 is the one without controllers
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || f[1] != "" && !slices.Contains(strings.Split(f[1], ","), "cpu") {
			continue
		}
		m, ok := findMount(mounts, f[1] == "")
		if !ok {
			continue
		}
		rel := strings.TrimLeft(strings.TrimPrefix(f[2], m.root), "/")
		if !filepath.IsLocal(rel) {
			rel = "" // outside of what is mounted here
		}
		for dir := filepath.Join(m.point, rel); ; dir = filepath.Dir(dir) {
			files = append(files, filepath.Join(dir, "cpu.stat"))
			if len(dir) <= len(m.point) {
				break
			}
		}
	}
	return files
}

// findMount finds the hierarchy of version 2, or the one of version 1 that has the CPU
// controller.
func findMount(mounts []byte, v2 bool) (cgroupMount, bool) {
	for line := range strings.Lines(string(mounts)) {
		// id parent dev root point options… - type source super-options
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 {
			continue
		}
		v1 := r[0] == "cgroup" && slices.Contains(strings.Split(r[2], ","), "cpu")
		if v2 && r[0] == "cgroup2" || !v2 && v1 {
			return cgroupMount{root: l[3], point: l[4]}, true
		}
	}
	return cgroupMount{}, false
}

// readThrottled reads nr_throttled. A file that isn't there counts nothing: the root group
// of version 2 has none.
func readThrottled(file string) uint64 {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "nr_throttled "); ok {
			n, _ := strconv.ParseUint(value, 10, 64)
			return n
		}
	}
	return 0
}
