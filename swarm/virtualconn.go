package swarm

import (
	"io"
	"net"
	"net/netip"
	"time"

	"shoal/swarm/wire"
)

// VirtualConn is one end of a connection.
type VirtualConn struct {
	// Far is the other end, Link is the fabric's own.
	Far  *VirtualConn
	Link any

	v       *Virtual
	c       *conn
	entry   *entry // what was dialled
	far     net.TCPAddr
	rtt     time.Duration
	over    bool
	begun   int64 // bytes of blocks[0] that are written
	waits   bool  // the writer waits for its time
	turn    bool  // it has waited
	gauged  bool  // among those that write
	flow    flow
	control []byte      // taken from the outbox and not pulled
	blocks  []upRequest // the same
	gather  []upRequest // the blocks that the writer is at
}

// NewConn makes one end of a connection to a node, whose handshake has just come.
func (v *Virtual) NewConn(far *Virtual, addr netip.AddrPort, rtt time.Duration, inbound bool) *VirtualConn {
	vc := &VirtualConn{v: v, rtt: rtt, far: *net.TCPAddrFromAddrPort(addr)}
	h := far.s.t.handshake(far.s.t.node.cfg.PeerID)
	vc.c = newConn(v.s, (*virtualSocket)(vc), h, inbound)
	vc.c.out.wake = func() { v.fabric.Poke(vc) }
	return vc
}

// Node is whose end it is.
func (vc *VirtualConn) Node() *Virtual { return vc.v }

// Join takes the connection in; an error says that the node will not have it, and closes it.
func (vc *VirtualConn) Join() error {
	s := vc.v.s
	err := s.join(vc.c)
	if err == nil {
		s.wg.Done() // there are no goroutines to wait for
	} else {
		vc.c.why = err
		vc.c.close()
	}
	vc.v.turn()
	return err
}

// FarClosed says that the other end has closed the connection.
func (vc *VirtualConn) FarClosed() { vc.end(io.EOF) }

// end is what happens when a connection's reader ends.
func (vc *VirtualConn) end(err error) {
	if vc.over {
		return
	}
	vc.over = true
	c, s := vc.c, vc.v.s
	c.close()
	if c.why == nil {
		c.why = err
	}
	s.leave(c)
	if vc.entry != nil {
		s.hungUp(vc.entry, c.why)
	}
	vc.v.turn()
}

// VirtualMessage is something that was pulled from one end and is to be delivered to the other.
type VirtualMessage struct {
	Bytes   int // in the stream
	control []byte
	block   upRequest
	bad     bool
}

// Control says whether it is no content.
func (m *VirtualMessage) Control() bool { return m.control != nil }

// Pull is the connection's writer: it answers what to write next, control messages or one block.
func (vc *VirtualConn) Pull() (m VirtualMessage, ok bool) {
	if len(vc.control) == 0 && len(vc.blocks) == 0 {
		if len(vc.gather) > 0 {
			var n int64
			for _, r := range vc.gather {
				n += int64(r.length)
			}
			gather := vc.gather
			vc.gather = nil
			vc.v.s.wrote(vc.c, gather, n)
			vc.v.turn()
		}
		if vc.c.gone {
			return m, false
		}
		gather := int64(maxGather)
		if vc.c.upRate() > 0 {
			gather = 1
		}
		vc.control, vc.blocks = vc.c.out.take(gather)
		for len(vc.control) < maxGather/4 {
			f := vc.c.out.nextLazy()
			if f == nil {
				break
			}
			vc.control = f(vc.control)
		}
		vc.gather = vc.blocks
	}
	switch {
	case len(vc.control) > 0:
		m.control = append([]byte(nil), vc.control...)
		m.Bytes = len(m.control)
		vc.control = nil
	case len(vc.blocks) > 0:
		if vc.waits {
			return m, false
		}
		n := int64(vc.blocks[0].length) - vc.begun // written in slices, where writes are paced
		n = min(n, int64(vc.v.coarse)*vc.c.governor().pace.slice(vc.c.up().slice(n)))
		if l := &vc.v.lanes[vc.c.lane.Load()]; !vc.turn && len(l.waiting) > 0 || !vc.paces(l, n) {
			vc.v.await(l, vc)
			return m, false
		}
		vc.turn = false
		vc.writes()
		m.Bytes = int(n)
		if vc.begun == 0 {
			m.Bytes += 13
		}
		if vc.begun += n; vc.begun == int64(vc.blocks[0].length) {
			m.block, m.bad = vc.blocks[0], vc.v.liar
			vc.blocks, vc.begun = vc.blocks[1:], 0
		}
	default:
		return m, false
	}
	return m, true
}

// Deliver is the connection's reader: what the other end has sent is here.
func (vc *VirtualConn) Deliver(m VirtualMessage) {
	s, c := vc.v.s, vc.c
	if c.gone || s.failed != nil {
		return
	}
	if m.control == nil {
		if m.block.length > 0 { // else it was a part
			vc.deliverBlock(m)
		}
	} else if err := vc.deliverControl(m.control); err != nil && !c.gone {
		s.end(c, err)
	}
	vc.v.turn()
}

func (vc *VirtualConn) deliverBlock(m VirtualMessage) {
	s, c, b := vc.v.s, vc.c, m.block
	q := c.findRequest(b.piece, b.begin, b.length, true)
	if q == nil {
		s.unasked(c, int64(b.length))
		return
	}
	s.arrived(c, q, vc.v.ingest(q.op, q.begin, q.length, m.bad))
}

func (vc *VirtualConn) deliverControl(b []byte) error {
	s, c := vc.v.s, vc.c
	vc.v.buf.b = b
	var m wire.Message
	for len(vc.v.buf.b) > 0 || vc.v.reader.Buffered() > 0 {
		if err := vc.v.reader.Next(&m); err != nil {
			vc.v.reader = wire.NewReader(vc.v.buf)
			return err
		}
		c.lastIn = s.now()
		if err := s.handle(c, &m); err != nil || c.gone {
			vc.v.buf.b = nil
			vc.v.reader = wire.NewReader(vc.v.buf)
			return err
		}
	}
	return nil
}

// virtualSocket is a VirtualConn as the session sees it.
type virtualSocket VirtualConn

func (x *virtualSocket) Close() error {
	vc := (*VirtualConn)(x)
	vc.v.fabric.Close(vc)
	vc.v.fabric.After(vc.v, 0, func() { vc.end(errClosed) })
	return nil
}

func (x *virtualSocket) gauge() (m gauge) {
	vc := (*VirtualConn)(x)
	m.acked, m.queued, m.rtt, m.least = vc.v.fabric.Gauge(vc)
	return m
}

func (x *virtualSocket) RTT() time.Duration               { return x.rtt }
func (x *virtualSocket) RemoteAddr() net.Addr             { return &x.far }
func (x *virtualSocket) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (x *virtualSocket) Read([]byte) (int, error)         { return 0, errClosed }
func (x *virtualSocket) Write([]byte) (int, error)        { return 0, errClosed }
func (x *virtualSocket) SetDeadline(time.Time) error      { return nil }
func (x *virtualSocket) SetReadDeadline(time.Time) error  { return nil }
func (x *virtualSocket) SetWriteDeadline(time.Time) error { return nil }

// bytesReader hands out a slice.
type bytesReader struct{ b []byte }

func (r *bytesReader) Read(b []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.b)
	r.b = r.b[n:]
	return n, nil
}
