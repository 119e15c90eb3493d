package shmconn

// Unread is how many bytes there are to read.
func Unread(c *Conn) int {
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	if !c.sess.Acquire() {
		return 0
	}
	defer c.sess.Release()
	rx := c.sess.RX()
	n, _ := rx.Len(rx.Cap())
	return n
}

// Handshakes is how many handshakes are under way.
func (l *Listener) Handshakes() int {
	l.shaker.mu.Lock()
	defer l.shaker.mu.Unlock()
	return l.shaker.guests.Len()
}

// Waiting is how many diallers there are that Accept has not returned.
func (l *Listener) Waiting() int { return len(l.shaker.places) }
