package shm

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// createMemFD makes a sealed segment. The descriptor is for the peer; the
// caller closes it when it has been sent.
func createMemFD(caps capacities) (_ *Segment, fd int, err error) {
	// A sysctl can forbid memfds that might be executed; kernels before 6.3 don't
	// know the difference.
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err = unix.MemfdCreate("carp-shm", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("carp-shm", flags)
	}
	if err != nil {
		return nil, -1, fmt.Errorf("memfd_create: %w", err)
	}
	seg, err := fillMemFD(fd, caps)
	if err != nil {
		_ = unix.Close(fd)
		return nil, -1, err
	}
	return seg, fd, nil
}

// fillMemFD sizes, maps, labels and seals a fresh memfd.
func fillMemFD(fd int, caps capacities) (*Segment, error) {
	if err := unix.Ftruncate(fd, int64(caps.segmentSize())); err != nil {
		return nil, fmt.Errorf("size the memfd to %d bytes: %w", caps.segmentSize(), err)
	}
	seg, err := mapFD(fd, caps)
	if err != nil {
		return nil, err
	}
	writeHeader(seg.mem, caps)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, wantSeals); err != nil {
		_ = seg.close()
		return nil, fmt.Errorf("seal the memfd: %w", err)
	}
	return seg, nil
}

// wantSeals keep both sides from changing the size: a page beyond the end of a
// file that shrank is a SIGBUS for whoever touches it. They can't be removed.
const wantSeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// openMemFD maps a segment that a peer sent, after checking that what it sent
// can be touched safely for as long as it is mapped.
func openMemFD(fd int, caps capacities) (*Segment, error) {
	if err := checkMemFD(fd, caps); err != nil {
		return nil, err
	}
	seg, err := mapFD(fd, caps)
	if err != nil {
		return nil, err
	}
	if err := checkHeader(seg.mem, caps); err != nil {
		_ = seg.close()
		return nil, err
	}
	return seg, nil
}

func checkMemFD(fd int, caps capacities) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return fmt.Errorf("fstatfs of the segment: %w", err)
	}
	// A hole punched into huge pages of hugetlbfs may be impossible to fill
	// again, and then touching it is a SIGBUS. On tmpfs it reads as zeros.
	if fs.Type != unix.TMPFS_MAGIC {
		return fmt.Errorf("%w: segment on a file system of type %#x, want tmpfs", ErrCorrupt, fs.Type)
	}
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return fmt.Errorf("%w: segment without seals: %w", ErrCorrupt, err)
	}
	if seals&wantSeals != wantSeals || seals&unix.F_SEAL_WRITE != 0 {
		return fmt.Errorf("%w: segment with seals %#x, want %#x", ErrCorrupt, seals, wantSeals)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("fstat of the segment: %w", err)
	}
	if st.Size != int64(caps.segmentSize()) {
		return fmt.Errorf("%w: segment of %d bytes, want %d", ErrCorrupt, st.Size, caps.segmentSize())
	}
	return nil
}

func mapFD(fd int, caps capacities) (*Segment, error) {
	mem, err := unix.Mmap(fd, 0, caps.segmentSize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the segment of %d bytes: %w", caps.segmentSize(), err)
	}
	return &Segment{mem: mem, caps: caps, backing: MemFD, unmap: unix.Munmap}, nil
}
