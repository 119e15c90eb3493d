//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package unixsock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockPatience bounds the wait for another Listen on the same path, which
// holds the lock for a little over settle at most.
const lockPatience = 10 * time.Second

// lock takes the lock that all Listen calls on path share, in this process and
// in others. The lock is an flock on an empty hidden file beside the socket: a
// killed holder loses it, and it reaches as far as the socket file itself does
// (across containers that share the directory, unlike an abstract name).
// unlock removes the file.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".carp-lock")
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience,
		fmt.Errorf("another process holds the lock file %s for more than %v", name, lockPatience))
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no directory %s: create it (%w)", filepath.Dir(path), fs.ErrNotExist)
		}
		if err != nil {
			return nil, fmt.Errorf("lock file: %w", err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, errors.ErrUnsupported) {
			err = nil // a file system without locks: the file's age has to do, as for foreign programs
		}
		if err == nil && stillThere(f, name) {
			return func() {
				removeEmpty(f, name)
				_ = f.Close()
			}, nil
		}
		_ = f.Close()
		if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, fmt.Errorf("lock file %s: %w", name, err)
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// stillThere reports whether name is the file that f has open: the holder
// before us removes it, and a lock on a removed file excludes nobody.
func stillThere(f *os.File, name string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(name)
	return err == nil && os.SameFile(ours, named)
}

// removeEmpty removes the lock file, unless somebody keeps data in a file of
// that name.
func removeEmpty(f *os.File, name string) {
	if fi, err := f.Stat(); err == nil && fi.Mode().IsRegular() && fi.Size() == 0 {
		_ = os.Remove(name)
	}
}
