package cli

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"shoal/internal/daemon"
)

// hostPorts are the addresses of this machine that others may reach the port at, the likeliest first.
func hostPorts(s *daemon.Server) []string {
	a := s.Addr()
	addrs := []netip.Addr{a.Addr()}
	if a.Addr().IsUnspecified() {
		addrs = candidates(ownAddresses(), routedAddress("udp4", "192.0.2.1"), routedAddress("udp6", "2001:db8::1"))
	}
	texts := make([]string, len(addrs))
	for i, x := range addrs {
		texts[i] = netip.AddrPortFrom(x, a.Port()).String()
	}
	return texts
}

// hostPort is the likeliest of them.
func hostPort(s *daemon.Server) string { return hostPorts(s)[0] }

// candidates orders addresses by how likely others reach them. The one that a packet to the Internet would be sent
// from is most likely what the others see, before the bridges of containers and virtual machines, which nothing else
// tells apart; then public before private ones, then those of networks in between; IPv4 before IPv6 since it is
// read aloud. routed ones may be zero. Without any there is loopback.
func candidates(own []netip.Addr, routed ...netip.Addr) []netip.Addr {
	rank := func(a netip.Addr) int {
		r := 0
		if slices.Contains(routed, a) && !inBetween(a) {
			r += 8
		}
		switch {
		case inBetween(a):
		case a.IsPrivate():
			r += 2
		default:
			r += 4
		}
		if a.Is4() {
			r += 16
		}
		return r
	}
	var found []netip.Addr
	for _, a := range own {
		if a = a.Unmap(); a.IsGlobalUnicast() && !slices.Contains(found, a) {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	slices.SortStableFunc(found, func(a, b netip.Addr) int { return rank(b) - rank(a) })
	return found
}

// inBetween says whether an address is neither public nor of the kind that a site has: carrier-grade NAT, which
// overlay networks use too (RFC 6598), and networks for benchmarks (RFC 2544).
func inBetween(a netip.Addr) bool {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(a) || netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18}), 15).Contains(a)
}

// ownAddresses are those of this machine's interfaces, in their order.
func ownAddresses() []netip.Addr {
	addrs, _ := net.InterfaceAddrs() // none: loopback is left
	var own []netip.Addr
	for _, x := range addrs {
		if n, ok := x.(*net.IPNet); ok {
			a, _ := netip.AddrFromSlice(n.IP)
			own = append(own, a)
		}
	}
	return own
}

// routedAddress is the source address of what would be sent to an address; zero if there is no route. Connecting a
// UDP socket sends nothing, and the addresses that are asked about are nobody's: those for documentation.
func routedAddress(network, to string) netip.Addr {
	c, err := net.Dial(network, net.JoinHostPort(to, "9"))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// publicURL is how others reach a node: as --public-url says, else at an address of ours, by HTTPS if secure.
func (e *env) publicURL(s *daemon.Server, secure bool) string {
	switch u := strings.TrimSuffix(e.settings.String("public-url"), "/"); {
	case u != "":
		return u
	case secure:
		return "https://" + hostPort(s)
	}
	return "http://" + hostPort(s)
}

// checkPublicURL accepts a URL that others can use.
func checkPublicURL(text string) error {
	if err := checkURL("http", "https")(text); err != nil {
		return err
	}
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	if a, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "" || err == nil && a.Unmap().IsUnspecified() {
		return fmt.Errorf("%q names no machine: others need an address or a name of this one, such as http://updates.example:7070", text)
	}
	return nil
}
