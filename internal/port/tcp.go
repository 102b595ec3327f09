package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// serveTCP accepts until the listener is closed, and returns when all connections it has not given to HTTP have ended.
func (p *Port) serveTCP(ctx context.Context, l *listening, h *Handlers) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	accept, err := newAcceptor(l, h.Quick)
	if err != nil {
		return err
	}
	delay := time.Duration(0)
	for {
		c, err := accept.next()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accepting on %s: %w", p.Addr(), err)
			}
			// Out of descriptors, or the stranger was gone already: both pass. net/http waits the same way.
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			h.Log.Warn("accepting a connection", "err", err)
			sleep(ctx, delay)
			continue
		}
		delay = 0
		if c.kept {
			conns.Go(func() { p.serveHTTP(ctx, c, h) })
			continue
		}
		me, out, ok := p.waiting.enter(c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(), c.TCPConn)
		if !ok {
			c.Close()
			continue
		}
		if out != nil {
			h.Log.Debug("too many undecided connections: closed the oldest", "peer", out.(*net.TCPConn).RemoteAddr())
			out.Close()
		}
		conns.Go(func() { p.serveConn(ctx, c, me, h) })
	}
}

// serveConn finds out what a connection is and hands it on.
func (p *Port) serveConn(ctx context.Context, a accepted, me *waiter, h *Handlers) {
	c := a.TCPConn
	is, head := p.decide(c, a.head)
	if !p.waiting.leave(me) {
		c.Close() // pushed out, or Run is ending
		return
	}
	switch {
	case is == http:
		p.serveHTTP(ctx, accepted{TCPConn: c, head: head}, h)
	case is == tls && h.TLS:
		p.tls.give(ctx, replaying(c, head))
	case is == bitTorrent && h.BitTorrent != nil:
		handle(ctx, h.BitTorrent, c, head)
	case is == unknown && h.Encrypted != nil && len(head) > 0:
		handle(ctx, h.Encrypted, c, head)
	default:
		h.Log.Debug("closed a connection that nobody serves", "peer", c.RemoteAddr(), "protocol", is, "bytes", len(head))
		c.Close()
	}
}

// handle has a handler serve a connection to its end.
func handle(ctx context.Context, serve func(context.Context, net.Conn), c *net.TCPConn, head []byte) {
	// Should the handler not watch ctx, its reads and writes will fail.
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	serve(ctx, replaying(c, head))
}

// decide reads until it is clear what a connection is, or never will be, or the time is up. Of a connection that was read already, head is what
// it began with.
func (p *Port) decide(c *net.TCPConn, head []byte) (is protocol, _ []byte) {
	if is = match(head); is != undecided {
		return is, head
	}
	c.SetReadDeadline(time.Now().Add(p.decideTime))
	defer c.SetReadDeadline(time.Time{})
	// As much as usually comes with the first segment: less would cost the next reader a system call more, and 1024 strangers may hold one each.
	head = append(make([]byte, 0, 512), head...)
	for is == undecided {
		n, err := c.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		if is = match(head); err != nil {
			return is, head
		}
	}
	return is, head
}

func replaying(c *net.TCPConn, head []byte) *conn { return &conn{TCPConn: c, head: head} }
