package mse

import (
	"bufio"
	"crypto/rc4"
	"errors"
	"net"
	"syscall"
)

// Conn is a connection after its handshake. One goroutine may read and another write at the same time.
type Conn struct {
	net.Conn // beneath; for its addresses, deadlines and end

	method  Method
	in, out *rc4.Cipher
	head    []byte // read already, and plain
	scratch []byte // what is written, sealed
}

func newConn(nc net.Conn, r *bufio.Reader, m Method, in, out *rc4.Cipher, ahead []byte) *Conn {
	c := &Conn{Conn: nc, method: m, in: in, out: out}
	rest, _ := r.Peek(r.Buffered())
	c.head = append(ahead, rest...)
	if m == RC4 {
		in.XORKeyStream(c.head[len(ahead):], c.head[len(ahead):])
	}
	return c
}

// Method is how the connection goes on.
func (c *Conn) Method() Method { return c.method }

// SyscallConn implements syscall.Conn, if the connection beneath does.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(b, c.head)
		if c.head = c.head[n:]; len(c.head) == 0 {
			c.head = nil
		}
		return n, nil
	}
	n, err := c.Conn.Read(b)
	if c.method == RC4 {
		c.in.XORKeyStream(b[:n], b[:n])
	}
	return n, err
}

// maxScratch bounds the memory that is kept for sealing.
const maxScratch = 320 << 10

// Write implements net.Conn. b is not changed.
func (c *Conn) Write(b []byte) (int, error) {
	if c.method != RC4 {
		return c.Conn.Write(b)
	}
	for n := 0; n < len(b); {
		part := b[n:min(len(b), n+maxScratch)]
		if len(c.scratch) < len(part) {
			c.scratch = make([]byte, len(part))
		}
		c.out.XORKeyStream(c.scratch, part)
		w, err := c.Conn.Write(c.scratch[:len(part)])
		if n += w; err != nil { // the cipher is ahead of the stream: nothing can follow
			return n, err
		}
	}
	return len(b), nil
}

// WriteBuffers writes all of bufs as [net.Buffers] does, sealed in one go.
func (c *Conn) WriteBuffers(bufs net.Buffers) error {
	if c.method != RC4 {
		_, err := bufs.WriteTo(c.Conn) // which knows writev
		return err
	}
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	if total > maxScratch {
		for _, b := range bufs {
			if _, err := c.Write(b); err != nil {
				return err
			}
		}
		return nil
	}
	if len(c.scratch) < total {
		c.scratch = make([]byte, total)
	}
	n := 0
	for _, b := range bufs {
		c.out.XORKeyStream(c.scratch[n:], b)
		n += len(b)
	}
	_, err := c.Conn.Write(c.scratch[:n])
	return err
}
