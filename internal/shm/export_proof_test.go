//go:build linux

package shm

import "net"

// Roles are the child processes of the tests of package shm_test.
var Roles = roles

// Patience is that of this package's tests.
const Patience = patience

// Memory is all of the segment, as a hostile process sees it.
func (s *Session) Memory() []byte { return s.seg.mem }

// Control is the socket.
func (s *Session) Control() *net.UnixConn { return s.ctl }
