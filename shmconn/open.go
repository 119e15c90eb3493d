package shmconn

import (
	"runtime"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// open makes a connection of a session whose handshake is done.
func open(sess *shm.Session, local, remote Addr, cfg *resolved) *Conn {
	c := newConn(sess, local, remote, cfg)
	info := sess.Info()
	if info.Why != "" {
		cfg.Logger.Warn("shared memory of another kind than preferred",
			"local", local.String(), "remote", remote.String(), "kind", info.Backing.String(), "reason", info.Why)
	}
	if info.Proto != "" {
		return c // the session is somebody else's from here on, see package upper
	}
	sess.TrimWhenIdle(c.wr.mu)
	// As package net does for who forgets to close. It works because nothing in the
	// session leads back to c; wr.mu is no part of it.
	runtime.AddCleanup(c, (*shm.Session).Close, sess)
	return c
}
