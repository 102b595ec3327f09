package port

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// UDPHandler answers one datagram: it appends its answer to dst, which is empty, and returns it; nothing appended is no answer. pkt and dst are only valid
// during the call. All sockets call it at the same time.
type UDPHandler func(dst, pkt []byte, from netip.AddrPort) []byte

// LaterHandler takes one datagram and must not wait: what there is to do it does elsewhere, so that nobody's datagrams wait for another's. reply
// answers from the address that the datagram was sent to; any goroutine may call it, at any time. pkt is only valid during the call.
type LaterHandler func(pkt []byte, from netip.AddrPort, reply func(b []byte))

// maxDatagram is more than any tracker or DHT message that crosses the Internet whole; what is longer is cut and then refused by its parser.
const maxDatagram = 4096

// answer is the demultiplexer: it gives a datagram to whom it belongs and returns the answer.
func (h *Handlers) answer(dst, pkt []byte, from netip.AddrPort) []byte {
	switch {
	case len(pkt) == 0:
	case pkt[0] == 0x00 && h.Tracker != nil:
		return h.Tracker(dst, pkt, from)
	case isUTPSyn(pkt):
		return appendUTPReset(dst, pkt)
	}
	return dst
}

// serveUDP reads one socket until it is closed. What has come since the last time is read in one system call, and answered in one.
func (p *Port) serveUDP(ctx context.Context, s *udpSocket, h *Handlers) error {
	in, out := make([]ipv4.Message, s.batch), make([]ipv4.Message, 0, s.batch)
	replies := make([][]byte, s.batch)
	for i := range in {
		in[i] = ipv4.Message{Buffers: [][]byte{make([]byte, maxDatagram)}, OOB: make([]byte, 64)}
		replies[i] = make([]byte, 0, 1500)
	}
	for {
		n, err := s.ReadBatch(in, 0)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Windows reports here that an earlier answer was refused (WSAECONNRESET), and any system may be out of memory for a moment.
			h.Log.Debug("reading datagrams", "err", err)
			sleep(ctx, 5*time.Millisecond)
			continue
		}
		out = out[:0]
		if n > 1 && h.Warm != nil {
			h.Warm(func(yield func([]byte) bool) {
				for i := range in[:n] {
					if !yield(in[i].Buffers[0][:in[i].N]) {
						return
					}
				}
			})
		}
		for i := range in[:n] {
			m := &in[i]
			to := m.Addr.(*net.UDPAddr)
			from := to.AddrPort()
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			if m.N > 0 && m.Buffers[0][0] == 'd' && h.DHT != nil {
				way := s.replyFrom(m.OOB[:m.NN])
				h.DHT(m.Buffers[0][:m.N], from, func(b []byte) { s.answer(ctx, h, b, way, from) })
				continue
			}
			replies[i] = h.answer(replies[i][:0], m.Buffers[0][:m.N], from)
			if len(replies[i]) > 0 {
				out = append(out, ipv4.Message{Buffers: replies[i : i+1], OOB: s.replyFrom(m.OOB[:m.NN]), Addr: to})
			}
		}
		for left := out; len(left) > 0; {
			n, err := s.WriteBatch(left, 0)
			if err != nil {
				if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
					return nil
				}
				h.Log.Debug("answering a datagram", "peer", left[0].Addr, "err", err)
				n = 1 // it is about the first, the others have not been tried
			}
			left = left[n:]
		}
	}
}

// answer sends an answer that took its time.
func (s *udpSocket) answer(ctx context.Context, h *Handlers, b, way []byte, to netip.AddrPort) {
	if _, _, err := s.WriteMsgUDPAddrPort(b, way, to); err != nil && ctx.Err() == nil {
		h.Log.Debug("answering a datagram", "peer", to, "err", err)
	}
}

// WriteTo sends a datagram that is no answer from the port.
func (p *Port) WriteTo(b []byte, to netip.AddrPort) error {
	s := p.socket(to.Addr())
	if s == nil {
		return &net.OpError{Op: "write", Net: "udp", Addr: net.UDPAddrFromAddrPort(to), Err: errFamily}
	}
	_, err := s.WriteToUDPAddrPort(b, to)
	return err
}

var errFamily = errors.New("the port is not open for addresses of this family")

// Reaches says whether WriteTo can send to addresses of the family of a.
func (p *Port) Reaches(a netip.Addr) bool { return p.socket(a) != nil }

func (p *Port) socket(a netip.Addr) *udpSocket {
	for _, s := range p.udp {
		if s.v6 == !a.Unmap().Is4() {
			return s
		}
	}
	return nil
}

// udpSocket is a socket of one family. On a wildcard address it also learns where each datagram was sent to.
type udpSocket struct {
	*net.UDPConn
	batchConn
	batch        int
	v6, wildcard bool

	// The last answer of replyFrom, for most come to one address. Only the socket's reader looks at it.
	asked, reply []byte
}

// batchConn is *ipv4.PacketConn or *ipv6.PacketConn; where the system has no call for several datagrams they read and write one.
type batchConn interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

func newUDPSocket(c *net.UDPConn, batch int) *udpSocket {
	addr := c.LocalAddr().(*net.UDPAddr)
	s := &udpSocket{UDPConn: c, batch: batch, v6: addr.IP.To4() == nil, wildcard: addr.IP.IsUnspecified()}
	c.SetReadBuffer(4 << 20) // a burst of announces; the system cuts it to its own limit
	// A host with several addresses would otherwise answer from the one its routing prefers, and a peer's NAT or connected socket drops that.
	if s.v6 {
		pc := ipv6.NewPacketConn(c)
		s.batchConn, s.wildcard = pc, s.wildcard && pc.SetControlMessage(ipv6.FlagDst, true) == nil
	} else {
		pc := ipv4.NewPacketConn(c)
		s.batchConn, s.wildcard = pc, s.wildcard && pc.SetControlMessage(ipv4.FlagDst, true) == nil
	}
	return s
}

// replyFrom turns what came with a datagram into what makes the answer leave from the address that was asked; nil lets the system choose.
func (s *udpSocket) replyFrom(oob []byte) []byte {
	if !s.wildcard || len(oob) == 0 {
		return nil
	}
	if !bytes.Equal(oob, s.asked) {
		s.asked, s.reply = append([]byte(nil), oob...), s.replyTo(oob) // new ones: messages that are not yet sent hold the last
	}
	return s.reply
}

func (s *udpSocket) replyTo(oob []byte) []byte {
	if s.v6 {
		var cm ipv6.ControlMessage
		if cm.Parse(oob) != nil || cm.Dst == nil || cm.Dst.IsMulticast() {
			return nil
		}
		return (&ipv6.ControlMessage{Src: cm.Dst}).Marshal()
	}
	var cm ipv4.ControlMessage
	if cm.Parse(oob) != nil || cm.Dst == nil || cm.Dst.IsMulticast() || cm.Dst.Equal(net.IPv4bcast) {
		return nil
	}
	return (&ipv4.ControlMessage{Src: cm.Dst}).Marshal()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
