package shm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"
)

// sysvKey is the upper half of the keys of our segments ("CA"), by which the sweep
// knows them. A removed segment has key 0.
const sysvKey = 0x4341 << 16

// sysvMode lets the owner read and write, and nobody else anything.
const sysvMode = 0o600

// createSysV makes a System V segment and removes it at once: the kernel keeps it for
// as long as somebody is attached, and still lets others attach who know its id. So
// it is gone with the last of its users, however they end. What is left when this
// process is killed between the first and the last of the three steps, the sweep
// of the next Listen removes.
func createSysV(caps capacities) (*Segment, int, error) {
	id, err := makeSysV(caps.segmentSize())
	if err != nil {
		return nil, -1, fmt.Errorf("shmget of %d bytes: %w", caps.segmentSize(), err)
	}
	mem, err := unix.SysvShmAttach(id, 0, 0)
	_, rmErr := unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	if err != nil {
		return nil, -1, fmt.Errorf("shmat: %w", err)
	}
	if rmErr != nil {
		_ = unix.SysvShmDetach(mem)
		return nil, -1, fmt.Errorf("remove the segment's id: %w", rmErr)
	}
	writeHeader(mem, caps)
	return newSysVSegment(mem, caps), id, nil
}

// makeSysV makes a segment with a key of our own that nobody has.
func makeSysV(size int) (id int, err error) {
	for range 16 {
		key := sysvKey | int(rand.Uint32N(1<<16))
		id, err = unix.SysvShmGet(key, size, unix.IPC_CREAT|unix.IPC_EXCL|sysvMode)
		if !errors.Is(err, unix.EEXIST) {
			break
		}
	}
	return id, err
}

func newSysVSegment(mem []byte, caps capacities) *Segment {
	return &Segment{mem: mem, caps: caps, backing: SysV, unmap: unix.SysvShmDetach}
}

// openSysV attaches a segment that a peer told the id of, after checking that it is the
// peer's and can be touched safely for as long as it is attached.
func openSysV(id int, caps capacities, peer PeerCred) (*Segment, error) {
	var st unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &st); err != nil {
		return nil, sysvError(id, err)
	}
	if err := checkSysV(&st, caps, peer); err != nil {
		return nil, err
	}
	mem, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return nil, sysvError(id, err)
	}
	seg := newSysVSegment(mem, caps)
	err = checkHeader(mem, caps)
	if err == nil {
		err = checkPages(mem)
	}
	if err != nil {
		_ = seg.close()
		return nil, err
	}
	return seg, nil
}

// checkSysV looks at what the kernel says of a segment. That one doesn't fit is no proof of
// a peer that lies: in another IPC namespace the id means another segment.
func checkSysV(st *unix.SysvShmDesc, caps capacities, peer PeerCred) error {
	const removed = 0o1000 // SHM_DEST
	ours := st.Perm.Mode&0o777 == sysvMode && st.Perm.Mode&removed != 0 && st.Perm.Key == 0
	if !ours || st.Perm.Cuid != peer.UID || st.Perm.Uid != peer.UID || int(st.Segsz) != caps.segmentSize() {
		return fmt.Errorf("segment of %d bytes, key %#x, mode %#o, uid %d: want %d bytes, 0, %#o, %d: %w",
			st.Segsz, st.Perm.Key, st.Perm.Mode, st.Perm.Uid, caps.segmentSize(), removed|sysvMode, peer.UID, errOtherSegment)
	}
	return nil
}

// checkPages makes sure that a segment isn't made of huge pages of hugetlbfs. A hole that
// the peer punches may be impossible to fill again, and then touching it is a SIGBUS. There
// is no call that tells; but such a mapping can't be split at a small page, which
// an advice for one of them would do.
func checkPages(mem []byte) error {
	page := mem[:os.Getpagesize()]
	if err := unix.Madvise(page, unix.MADV_DONTDUMP); err != nil {
		return fmt.Errorf("%w: segment not of ordinary pages: %w", ErrCorrupt, err)
	}
	_ = unix.Madvise(page, unix.MADV_DODUMP)
	return nil
}

// sysvError says what an error about an id means.
func sysvError(id int, err error) error {
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EIDRM):
		return fmt.Errorf("segment %d does not exist here (%w): do the two processes share an IPC namespace?", id, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("segment %d may not be used by uid %d (%w): System V segments are for processes of one user", id, os.Geteuid(), err)
	default:
		return fmt.Errorf("attach segment %d: %w", id, err)
	}
}
