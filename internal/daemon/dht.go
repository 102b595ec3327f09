package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"shoal/internal/port"
	"shoal/swarm/dht"
)

// The values of --dht.
const (
	DHTAuto    = "auto"
	DHTPublic  = "public"
	DHTPrivate = "private"
	DHTOff     = "off"
)

// DHTConfig says whether a node takes part in the DHT. The zero value does not.
type DHTConfig struct {
	// Mode is one of the above; "" is off.
	Mode string
	// Bootstrap are nodes to begin with, HOST:PORT; for a public network, in place of the well-known ones.
	Bootstrap []string
	// PrivateContent says that all content is private (BEP 27).
	PrivateContent bool
	// Hosts are those that the content comes from, names or addresses: auto asks whether one is public.
	Hosts []string
	// ReadOnly is for machines that come and go: they ask and do not answer (BEP 43).
	ReadOnly bool
}

// wellKnown are the public DHT's usual entrances. Nothing but --dht public, or auto where it is meant, leads here.
var wellKnown = [...]string{
	"router.bittorrent.com:6881",
	"router.utorrent.com:6881",
	"dht.transmissionbt.com:6881",
	"dht.libtorrent.org:25401",
	"router.silotis.us:6881",
}

// DHTStatus is how a node takes part in the DHT, and why.
type DHTStatus struct {
	Mode   string     `json:"mode"` // public, private, off
	Reason string     `json:"reason"`
	Stats  *dht.Stats `json:"stats,omitempty"`
}

func (s DHTStatus) String() string { return fmt.Sprintf("DHT %s: %s", s.Mode, s.Reason) }

// decide says what auto means here, and why what holds holds.
func (c DHTConfig) decide(ctx context.Context, own []netip.Addr) DHTStatus {
	switch {
	case c.Mode == "" || c.Mode == DHTOff:
		return DHTStatus{Mode: DHTOff, Reason: "as it was told"}
	case c.PrivateContent:
		return DHTStatus{Mode: DHTOff, Reason: "the content is private"}
	case c.Mode == DHTPublic:
		return DHTStatus{Mode: DHTPublic, Reason: "as it was told"}
	case c.Mode == DHTPrivate:
		return DHTStatus{Mode: DHTPrivate, Reason: "as it was told"}
	case len(c.Bootstrap) > 0:
		return DHTStatus{Mode: DHTPrivate, Reason: "nodes to begin with were named"}
	}
	for _, a := range own {
		if dht.Routable(a) {
			return DHTStatus{Mode: DHTPublic, Reason: a.String() + " is a public address of this machine"}
		}
	}
	if host, a := publicHost(ctx, c.Hosts); host != "" {
		return DHTStatus{Mode: DHTPublic, Reason: fmt.Sprintf("%s is at a public address, %s", host, a)}
	}
	return DHTStatus{Mode: DHTOff, Reason: "no public address is involved"}
}

// publicHost is a host, of those that are given, at a public address.
func publicHost(ctx context.Context, hosts []string) (host string, at netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	hosts = slices.Compact(slices.Sorted(slices.Values(hosts)))
	found := make([]netip.Addr, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts[:min(len(hosts), 20)] {
		wg.Go(func() {
			ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", h)
			if err != nil {
				return
			}
			for _, ip := range ips {
				if dht.Routable(ip) {
					found[i] = ip.Unmap()
				}
			}
		})
	}
	wg.Wait()
	for i, a := range found {
		if a.IsValid() {
			return hosts[i], a
		}
	}
	return "", netip.Addr{}
}

// ownAddresses are those at which a port that was taken on addr is reached.
func ownAddresses(addr netip.Addr) (list []netip.Addr) {
	if !addr.IsUnspecified() {
		return []netip.Addr{addr}
	}
	all, _ := net.InterfaceAddrs()
	for _, x := range all {
		if n, ok := x.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok && (addr.Is6() || a.Unmap().Is4()) {
				list = append(list, a.Unmap())
			}
		}
	}
	return list
}

// localAddress is the address by which others at to reach a port that was taken on bound: the one that the system would send from.
func localAddress(bound netip.Addr, public []netip.Addr, to netip.Addr) netip.Addr {
	for _, a := range public {
		if dht.Routable(to) && a.Is4() == to.Is4() {
			return a
		}
	}
	if !bound.IsUnspecified() {
		return bound
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9))) // which sends nothing
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// entrances are the nodes to begin with.
func (c DHTConfig) entrances(mode string) []string {
	if mode == DHTPublic && len(c.Bootstrap) == 0 {
		return wellKnown[:]
	}
	return c.Bootstrap
}

func dhtStatus(n *dht.Node, why DHTStatus) DHTStatus {
	if n != nil {
		st := n.Stats()
		why.Stats = &st
	}
	return why
}

// newDHT makes a node of the DHT on a port, if there is to be one. public are addresses at which the port is reached beside those of the machine.
func newDHT(ctx context.Context, c DHTConfig, p *port.Port, stateDir string, public []netip.Addr, log *slog.Logger) (*dht.Node, DHTStatus) {
	own := append(ownAddresses(p.Addr().Addr()), public...)
	st := c.decide(ctx, own)
	if st.Mode == DHTOff {
		return nil, st
	}
	bound := p.Addr().Addr()
	cfg := dht.Config{
		Send: p.WriteTo, IPv4: p.Reaches(netip.IPv4Unspecified()), IPv6: p.Reaches(netip.IPv6Unspecified()),
		Port: p.Number(), Bootstrap: c.entrances(st.Mode), Private: st.Mode == DHTPrivate, ReadOnly: c.ReadOnly,
		Own: func(a netip.Addr) bool {
			return slices.Contains(public, a) || slices.Contains(ownAddresses(netip.IPv6Unspecified()), a)
		},
		Local: func(to netip.Addr) netip.Addr { return localAddress(bound, public, to) },
		Log:   log,
	}
	if stateDir != "" {
		cfg.Dir = filepath.Join(stateDir, "dht", strings.ToLower(st.Mode)) // nodes of the one are nobody's business in the other
	}
	return dht.New(cfg), st
}
