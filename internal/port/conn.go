package port

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// conn is an accepted connection whose first bytes were read already and are read again. It overrides reading only: ReadFrom must stay
// that of *net.TCPConn, or net/http silently stops using sendfile.
type conn struct {
	*net.TCPConn
	replayed atomic.Bool // head is empty; Read is then as fast as without us

	mu   sync.Mutex
	head []byte
}

func (c *conn) Read(p []byte) (int, error) {
	if !c.replayed.Load() {
		if n := c.replay(p); n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return c.TCPConn.Read(p)
}

func (c *conn) replay(p []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(p, c.head)
	c.head = c.head[n:]
	if len(c.head) == 0 {
		c.head = nil
		c.replayed.Store(true)
	}
	return n
}

// WriteTo is the other way of reading, which io.Copy prefers: the embedded one would skip the head.
func (c *conn) WriteTo(w io.Writer) (int64, error) {
	c.mu.Lock()
	head := c.head
	c.head = nil
	c.replayed.Store(true)
	c.mu.Unlock()
	if len(head) > 0 {
		if n, err := w.Write(head); err != nil {
			return int64(n), err
		}
	}
	n, err := c.TCPConn.WriteTo(w)
	return int64(len(head)) + n, err
}
