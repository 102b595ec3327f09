package tracker

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Sites says which network belongs to which site, for peers that name none themselves. The longest prefix that holds an address counts.
// That two addresses look alike is no evidence: a /24 is no site. The nil map knows none.
type Sites struct {
	lengths []int // of the prefixes there are, longest first; IPv6's, and IPv4's plus 96
	sites   map[netip.Prefix]site
}

// site is a site's name, and the number under which the store knows it.
type site struct {
	name   string
	number uint32
}

// maxSites bounds the lines of a map.
const maxSites = 1 << 16

// ParseSites reads a site map: a line has a network in CIDR notation and the name of its site, with comments behind #.
//
//	10.20.0.0/16       berlin
//	2001:db8:20::/48   berlin  # the same house
func ParseSites(r io.Reader) (*Sites, error) {
	m := &Sites{sites: make(map[netip.Prefix]site)}
	lengths := make(map[int]bool)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		prefix, err := netip.ParsePrefix(fields[0])
		switch {
		case len(fields) != 2:
			return nil, fmt.Errorf("line %d: %.80q is not a network and a site", n, text)
		case err != nil:
			return nil, fmt.Errorf("line %d: %.80q is not a network such as 10.20.0.0/16", n, fields[0])
		case prefix != prefix.Masked():
			return nil, fmt.Errorf("line %d: %s has bits set behind its length: %s is meant?", n, prefix, prefix.Masked())
		case prefix.Addr().Is4In6():
			return nil, fmt.Errorf("line %d: write %s as IPv4", n, prefix)
		case len(fields[1]) > maxSite:
			return nil, fmt.Errorf("line %d: the name of a site has at most %d bytes", n, maxSite)
		case m.sites[prefix].name != "" && m.sites[prefix].name != fields[1]:
			return nil, fmt.Errorf("line %d: %s is at %s already", n, prefix, m.sites[prefix].name)
		case len(m.sites) == maxSites:
			return nil, fmt.Errorf("line %d: more than %d networks", n, maxSites)
		}
		m.sites[prefix] = site{fields[1], siteOf([]byte(fields[1]))}
		lengths[widthOf(prefix.Addr())+prefix.Bits()] = true
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	m.lengths = slices.SortedFunc(maps.Keys(lengths), func(a, b int) int { return b - a })
	return m, nil
}

// widthOf is what has to be added to the length of a prefix to make IPv4's and IPv6's one scale.
func widthOf(a netip.Addr) int {
	if a.Is4() {
		return 96
	}
	return 0
}

// Len is the number of networks.
func (m *Sites) Len() int {
	if m == nil {
		return 0
	}
	return len(m.sites)
}

// at returns the site of an address; its number is 0 if there is none.
func (m *Sites) at(a netip.Addr) site {
	if m == nil {
		return site{}
	}
	for _, length := range m.lengths {
		prefix, err := a.Prefix(length - widthOf(a))
		if err != nil { // a length of the other family
			continue
		}
		if s, ok := m.sites[prefix]; ok {
			return s
		}
	}
	return site{}
}
