package lan

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// port is BEP 14's.
const port = 6771

// group is the multicast group of one family, and the socket that is in it.
type group struct {
	addr netip.AddrPort
	host string // as it stands in messages
	// receiveOn is ReadFrom, with the interface a datagram came in by, and whether it was sent to us
	// alone, as far as the system tells; sendOn is WriteTo by an interface, 0 for the one that leads
	// there.
	receiveOn func(b []byte) (n, ifIndex int, alone bool, from net.Addr, err error)
	sendOn    func(b []byte, ifIndex int, to netip.AddrPort) error
	joinOn    func(i *net.Interface) error
	close     func()

	mu    sync.Mutex
	links map[int]link // by index; those that are joined
}

func newGroup(addr, host string) *group {
	return &group{addr: netip.MustParseAddrPort(addr), host: host, links: make(map[int]link)}
}

// openV4 takes the socket of IPv4.
func (d *Discovery) openV4() (*group, error) {
	c, err := listen("udp4", "0.0.0.0")
	if err != nil {
		return nil, err
	}
	g := newGroup("239.192.152.143:6771", "239.192.152.143:6771")
	p := ipv4.NewPacketConn(c)
	p.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true) // where it cannot be had, receive does without
	p.SetMulticastLoopback(true)                               // other programs on this machine are neighbours too
	p.SetMulticastTTL(1)
	g.close = sync.OnceFunc(func() { c.Close() })
	g.joinOn = func(i *net.Interface) error { return p.JoinGroup(i, &net.UDPAddr{IP: g.addr.Addr().AsSlice()}) }
	g.receiveOn = func(b []byte) (n, ifIndex int, alone bool, from net.Addr, err error) {
		n, cm, from, err := p.ReadFrom(b)
		if cm != nil {
			ifIndex, alone = cm.IfIndex, cm.Dst != nil && !cm.Dst.IsMulticast()
		}
		return n, ifIndex, alone, from, err
	}
	g.sendOn = func(b []byte, ifIndex int, to netip.AddrPort) error {
		var cm *ipv4.ControlMessage
		if ifIndex != 0 {
			cm = &ipv4.ControlMessage{IfIndex: ifIndex}
		}
		_, err := p.WriteTo(b, cm, net.UDPAddrFromAddrPort(to))
		return err
	}
	return g, nil
}

// openV6 takes the socket of IPv6.
func (d *Discovery) openV6() (*group, error) {
	c, err := listen("udp6", "::")
	if err != nil {
		return nil, err
	}
	g := newGroup("[ff15::efc0:988f]:6771", "[ff15::efc0:988f]:6771")
	p := ipv6.NewPacketConn(c)
	p.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true)
	p.SetMulticastLoopback(true)
	p.SetMulticastHopLimit(1)
	g.close = sync.OnceFunc(func() { c.Close() })
	g.joinOn = func(i *net.Interface) error { return p.JoinGroup(i, &net.UDPAddr{IP: g.addr.Addr().AsSlice()}) }
	g.receiveOn = func(b []byte) (n, ifIndex int, alone bool, from net.Addr, err error) {
		n, cm, from, err := p.ReadFrom(b)
		if cm != nil {
			ifIndex, alone = cm.IfIndex, cm.Dst != nil && !cm.Dst.IsMulticast()
		}
		return n, ifIndex, alone, from, err
	}
	g.sendOn = func(b []byte, ifIndex int, to netip.AddrPort) error {
		var cm *ipv6.ControlMessage
		if ifIndex != 0 {
			cm = &ipv6.ControlMessage{IfIndex: ifIndex}
		}
		_, err := p.WriteTo(b, cm, net.UDPAddrFromAddrPort(to))
		return err
	}
	return g, nil
}

// listen takes BEP 14's port, which all programs of a machine share.
func listen(network, host string) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: share}
	return lc.ListenPacket(context.Background(), network, net.JoinHostPort(host, strconv.Itoa(port)))
}

// join joins the group on interfaces that are new, and forgets those that have gone. It says whether
// any is new.
func (g *group) join(links []link) (fresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := make(map[int]link, len(links))
	for _, l := range links {
		_, joined := g.links[l.Index]
		if joined || g.joinOn(&l.Interface) == nil {
			now[l.Index] = l
			fresh = fresh || !joined
		}
	}
	g.links = now
	return fresh
}

// announce sends a message to the group on each interface, and says whether all have taken it.
func (g *group) announce(m message, log *slog.Logger) (sent bool) {
	sent = true
	b := m.append(nil, g.host)
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.links {
		if err := g.sendOn(b, i, g.addr); err != nil {
			log.Debug("announcing on the LAN", "interface", g.links[i].Name, "err", err)
			sent = false
		}
	}
	return sent
}

// answer sends a message to one neighbour.
func (g *group) answer(m message, to netip.Addr, log *slog.Logger) {
	if err := g.sendOn(m.append(nil, g.host), 0, netip.AddrPortFrom(to, port)); err != nil {
		log.Debug("answering a neighbour", "peer", to, "err", err)
	}
}

// receive reads a datagram. from is invalid if its sender is not a neighbour; alone says that it
// was sent to nobody else.
func (g *group) receive(b []byte) (n int, alone bool, from netip.AddrPort, err error) {
	n, index, alone, addr, err := g.receiveOn(b)
	if err != nil {
		return 0, false, from, err
	}
	a, ok := addr.(*net.UDPAddr)
	if !ok {
		return n, alone, from, nil
	}
	ap := a.AddrPort()
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, l := range g.links {
		if (index == 0 || i == index) && l.attached(ap.Addr()) {
			return n, alone, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
		}
	}
	return n, alone, netip.AddrPort{}, nil
}
