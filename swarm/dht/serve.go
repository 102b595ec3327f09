package dht

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
)

// serve answers queries until ctx is done.
func (n *Node) serve(ctx context.Context) {
	buf := make([]byte, 0, maxPacket)
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-n.queue:
			now := time.Now()
			a := n.answer(q.m, q.from, now)
			if a == nil {
				continue
			}
			buf = a.append(buf[:0])
			if !n.giving.AllowN(now, len(buf)) {
				n.counts.dropped.Add(1)
				continue
			}
			q.reply(buf)
		}
	}
}

const (
	// values4 and values6 are how many peers an answer names: with the nodes it must fit a datagram that crosses the Internet whole.
	values4, values6 = 80, 36
)

// answer is what a query deserves; nil: nothing.
func (n *Node) answer(m *message, from netip.AddrPort, now time.Time) *message {
	if n.readOnly() {
		return nil
	}
	f := familyOf(from.Addr())
	h := n.nets[f]
	self := h.id()
	a := &message{kind: 'r', tid: m.tid, id: &self, ip: from, client: []byte(clientName)}
	if m.id == nil {
		return refuse(a, krpc.ErrorCodeProtocolError, "an id is missing")
	}
	if who := (contact{*m.id, from}); !m.readOnly && h.heard(who, now) {
		n.pingSoon(who)
	}
	switch m.method {
	case qPing:
	case qAnnounce:
		switch port := m.port; {
		case m.infoHash == nil:
			return refuse(a, krpc.ErrorCodeProtocolError, "an info_hash is missing")
		case !n.tokens.valid(m.token, from.Addr(), now):
			return refuse(a, krpc.ErrorCodeProtocolError, "bad token")
		case m.impliedPort:
			n.peers.add(self, *m.infoHash, from, now)
		case port < 1 || port > 65535:
			return refuse(a, krpc.ErrorCodeProtocolError, "bad port")
		default:
			n.peers.add(self, *m.infoHash, netip.AddrPortFrom(from.Addr(), uint16(port)), now)
		}
	case qPut:
		if !n.tokens.valid(m.token, from.Addr(), now) {
			return refuse(a, krpc.ErrorCodeProtocolError, "bad token")
		}
		var why krpc.Error
		if err := n.items.put(self, m, now); errors.As(err, &why) {
			return refuse(a, why.Code, why.Msg)
		}
	case qGetPeers, qFind, qGet:
		target := m.target
		if m.method == qGetPeers {
			target = m.infoHash
		}
		if target == nil {
			return refuse(a, krpc.ErrorCodeProtocolError, "what to look for is missing")
		}
		n.addNodes(a, m, f, *target, now)
		switch m.method {
		case qGetPeers:
			a.token = n.tokens.issue(from.Addr(), now)
			a.values = n.peers.peers(*target, f == v6, [...]int{values4, values6}[f], now)
			if self := n.asPeer(*target, from.Addr()); self.IsValid() && !slices.Contains(a.values, self) {
				a.values = append(a.values, self)
			}
		case qGet:
			a.token = n.tokens.issue(from.Addr(), now)
			n.addItem(a, m, *target, now)
		}
	default:
		if m.target == nil && m.infoHash == nil {
			return refuse(a, krpc.ErrorCodeMethodUnknown, "method unknown")
		}
		// libtorrent.org/dht_extensions.html, "forward compatibility": who looks for something is helped on his way.
		target := m.target
		if target == nil {
			target = m.infoHash
		}
		n.addNodes(a, m, f, *target, now)
	}
	return a
}

// asPeer is our own address as a peer of a torrent, for somebody at to: in a small network nobody else may know of us, who cannot announce to
// ourselves. The zero address if we are none.
func (n *Node) asPeer(hash ID, to netip.Addr) (a netip.AddrPort) {
	j := n.jobs.find(hash)
	if j == nil || n.cfg.Local == nil {
		return a
	}
	port := j.Port()
	if !Routable(to) && port != 0 {
		port = n.cfg.Port // no router is between
	}
	ip := n.cfg.Local(to).Unmap()
	if port == 0 || !ip.IsValid() || familyOf(ip) != familyOf(to) || Routable(to) && !Routable(ip) {
		return a
	}
	return netip.AddrPortFrom(ip, uint16(port))
}

func refuse(a *message, code int, text string) *message {
	a.kind, a.errCode, a.errText = 'e', code, []byte(text)
	return a
}

// addNodes names the nodes that we know closest to target, of the families that were asked for (BEP 32).
func (n *Node) addNodes(a, m *message, f family, target ID, now time.Time) {
	want := [2]bool{m.want4, m.want6}
	if !m.want4 && !m.want6 {
		want[f] = true
	}
	for f, into := range [...]*[]contact{&a.nodes, &a.nodes6} {
		if h := n.nets[f]; want[f] && h != nil {
			*into = h.nearest(target, closest, now, true)
		}
	}
}

// addItem adds what lies at target (BEP 44); of what the asker has already, only its number.
func (n *Node) addItem(a, m *message, target ID, now time.Time) {
	i, ok := n.items.get(target, now)
	if !ok {
		return
	}
	if i.Key != nil {
		a.seq = &i.Seq
		if m.seq != nil && i.Seq <= *m.seq {
			return
		}
		a.key, a.sig = i.Key, i.Signature
	}
	a.v = i.Value
}
