package unixsock

// Cred is who is at the other end of a unix socket, as the kernel recorded it
// when the peer connected (or called listen), whatever the peer did since.
type Cred struct {
	PID      int // 0 where the system does not tell it
	UID, GID uint32
}
