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
