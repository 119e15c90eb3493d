package shm

import (
	"os"

	"golang.org/x/sys/unix"
)

// giveBack frees the memory behind buf, whose bytes nobody needs any more, for both sides
// of the mapping. They are zeros when they are next touched. Where the kernel can't, as for
// a process that locks its memory, it stays as it is.
func giveBack(buf []byte) {
	if pages := wholePages(buf); len(pages) > 0 {
		_ = unix.Madvise(pages, unix.MADV_REMOVE)
	}
}

// wholePages is the part of buf that consists of whole pages.
func wholePages(buf []byte) []byte {
	page := os.Getpagesize()
	skip := (page - addressOf(buf)%page) % page
	if len(buf) < skip {
		return nil
	}
	n := (len(buf) - skip) / page * page
	return buf[skip : skip+n]
}
