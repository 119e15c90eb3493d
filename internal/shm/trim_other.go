//go:build !linux

package shm

func giveBack([]byte) {}
