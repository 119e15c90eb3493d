package shm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFindCPUStats(t *testing.T) {
	for _, c := range []struct {
		name, groups, mounts string
		want                 []string
	}{
		{
			"version 2", "0::/user.slice/app.scope\n",
			"30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
			[]string{"/sys/fs/cgroup/user.slice/app.scope/cpu.stat", "/sys/fs/cgroup/user.slice/cpu.stat", "/sys/fs/cgroup/cpu.stat"},
		},
		{
			"version 2 in a namespace", "0::/\n",
			"30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			[]string{"/sys/fs/cgroup/cpu.stat"},
		},
		{
			"version 1", "5:cpu,cpuacct:/docker/1f\n4:memory:/docker/1f\n1:name=systemd:/docker/1f\n",
			"33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
				"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
			[]string{"/sys/fs/cgroup/cpu,cpuacct/docker/1f/cpu.stat", "/sys/fs/cgroup/cpu,cpuacct/docker/cpu.stat", "/sys/fs/cgroup/cpu,cpuacct/cpu.stat"},
		},
		{
			"version 1, the own group mounted", "5:cpu:/docker/1f\n",
			"32 31 0:29 /docker/1f /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n",
			[]string{"/sys/fs/cgroup/cpu/cpu.stat"},
		},
		{
			"a group outside of the mount", "0::/../other\n",
			"30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			[]string{"/sys/fs/cgroup/cpu.stat"},
		},
		{
			"cpuset is not cpu", "3:cpuset:/x\n",
			"30 23 0:26 / /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n", nil,
		},
		{"nothing", "", "", nil},
		{"nonsense", "::\n:::\n\x00", "- - -\n \n30 - cgroup2\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := findCPUStats([]byte(c.groups), []byte(c.mounts))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadThrottled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cpu.stat")
	if n := readThrottled(file); n != 0 {
		t.Errorf("a file that isn't there counts %d", n)
	}
	if err := os.WriteFile(file, []byte("usage_usec 5\nnr_periods 9\nnr_throttled 41\nthrottled_usec 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := readThrottled(file); n != 41 {
		t.Errorf("read %d, want 41", n)
	}
}

// What this machine says is read without an error that would go unnoticed.
func TestSystemProbe(t *testing.T) {
	p := systemProbe{}
	if n := p.cpus(); n < 1 {
		t.Errorf("%d CPUs", n)
	}
	if p.sharesCPU(os.Getpid()) != (p.cpus() == 1) {
		t.Errorf("shares a CPU with itself: %v, with %d CPUs", p.sharesCPU(os.Getpid()), p.cpus())
	}
	if !p.sharesCPU(0) {
		t.Error("a peer that can't be seen is taken for one on another CPU")
	}
	p.throttled()
}
