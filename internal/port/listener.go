package port

import (
	"context"
	"net"
	"sync"
	"time"
)

// listener is a net.Listener whose connections were accepted by somebody else.
type listener struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newListener(addr net.Addr) *listener {
	return &listener{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands a connection to Accept, and closes it when nobody accepts.
func (l *listener) give(ctx context.Context, c net.Conn) {
	t := time.NewTimer(5 * time.Second)
	defer t.Stop()
	select {
	case l.conns <- c:
		return
	case <-l.closed:
	case <-ctx.Done():
	case <-t.C:
	}
	c.Close()
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed: // first: what is given at the same moment is closed by its giver
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }
