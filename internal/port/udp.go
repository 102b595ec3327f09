package port

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// UDPHandler answers one datagram: it appends its answer to dst, which is empty, and returns it; nothing appended is no answer. pkt and dst are only valid
// during the call. IPv4 and IPv6 call it at the same time.
type UDPHandler func(dst, pkt []byte, from netip.AddrPort) []byte

// maxDatagram is more than any tracker or DHT message that crosses the Internet whole; what is longer is cut and then refused by its parser.
const maxDatagram = 4096

// answer is the demultiplexer: it gives a datagram to whom it belongs and returns the answer.
func (h *Handlers) answer(dst, pkt []byte, from netip.AddrPort) []byte {
	switch {
	case len(pkt) == 0:
	case pkt[0] == 0x00 && h.Tracker != nil:
		return h.Tracker(dst, pkt, from)
	case pkt[0] == 'd' && h.DHT != nil:
		return h.DHT(dst, pkt, from)
	case isUTPSyn(pkt):
		return appendUTPReset(dst, pkt)
	}
	return dst
}

// serveUDP reads one socket until it is closed.
func (p *Port) serveUDP(ctx context.Context, s *udpSocket, h *Handlers) error {
	in, out := make([]byte, maxDatagram), make([]byte, 0, maxDatagram)
	oob := make([]byte, 128)
	for {
		n, oobn, _, from, err := s.ReadMsgUDPAddrPort(in, oob)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Windows reports here that an earlier answer was refused (WSAECONNRESET), and any system may be out of memory for a moment.
			h.Log.Debug("reading datagrams", "err", err)
			sleep(ctx, 5*time.Millisecond)
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		reply := h.answer(out[:0], in[:n], from)
		if len(reply) == 0 {
			continue
		}
		if _, _, err := s.WriteMsgUDPAddrPort(reply, s.replyFrom(oob[:oobn]), from); err != nil && ctx.Err() == nil {
			h.Log.Debug("answering a datagram", "peer", from, "err", err)
		}
	}
}

// udpSocket is a socket of one family. On a wildcard address it also learns where each datagram was sent to.
type udpSocket struct {
	*net.UDPConn
	v6, wildcard bool
}

func newUDPSocket(c *net.UDPConn) *udpSocket {
	addr := c.LocalAddr().(*net.UDPAddr)
	s := &udpSocket{UDPConn: c, v6: addr.IP.To4() == nil, wildcard: addr.IP.IsUnspecified()}
	c.SetReadBuffer(1 << 20) // a burst of announces; the system cuts it to its own limit
	if s.wildcard {
		// A host with several addresses would otherwise answer from the one its routing prefers, and a peer's NAT or connected socket drops that.
		if s.v6 {
			s.wildcard = ipv6.NewPacketConn(c).SetControlMessage(ipv6.FlagDst, true) == nil
		} else {
			s.wildcard = ipv4.NewPacketConn(c).SetControlMessage(ipv4.FlagDst, true) == nil
		}
	}
	return s
}

// replyFrom turns what came with a datagram into what makes the answer leave from the address that was asked; nil lets the system choose.
func (s *udpSocket) replyFrom(oob []byte) []byte {
	if !s.wildcard || len(oob) == 0 {
		return nil
	}
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
