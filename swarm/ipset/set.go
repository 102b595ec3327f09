// Package ipset says whether an IP address is on a list: the allow-list and the block-list of
// peers, which are files.
//
// A file has an address (192.0.2.7), a network (192.0.2.0/24) or a range (192.0.2.1-192.0.2.9) a
// line; # begins a comment. IPv4 and IPv6 may be mixed, an IPv4 address mapped to IPv6 is the IPv4
// address. A [Filter] reads its files again when they change; one that cannot be read, or that has
// a line that makes no sense, leaves what was read before in force.
package ipset

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// MaxLines bounds a list. The large block-lists that are passed around have about half as many.
const MaxLines = 500_000

// Set is a set of addresses. The zero value is empty. It is not changed once it is made.
type Set struct{ ranges []span } // sorted, apart

// span is the addresses from first to last.
type span struct{ first, last netip.Addr }

// Len is how many separate ranges the set has.
func (s *Set) Len() int { return len(s.ranges) }

// Contains says whether a is in the set.
func (s *Set) Contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	i, found := slices.BinarySearchFunc(s.ranges, a, func(r span, a netip.Addr) int { return r.first.Compare(a) })
	return found || i > 0 && s.ranges[i-1].last.Compare(a) >= 0 && s.ranges[i-1].last.BitLen() == a.BitLen()
}

// Parse reads a list. Errors name the line.
func Parse(r io.Reader) (*Set, error) {
	var all []span
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if n > MaxLines {
			return nil, fmt.Errorf("%d: a list has %d lines at most", n, MaxLines)
		}
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		x, err := parseSpan(text)
		if err != nil {
			return nil, fmt.Errorf("%d: %.80q: %w", n, text, err)
		}
		all = append(all, x)
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, errors.New("a line is too long to be an address")
		}
		return nil, err
	}
	slices.SortFunc(all, func(a, b span) int { return a.first.Compare(b.first) })
	s := &Set{}
	for _, x := range all { // what touches or overlaps becomes one
		if n := len(s.ranges); n > 0 && s.ranges[n-1].first.BitLen() == x.first.BitLen() {
			if before := &s.ranges[n-1]; before.last.Compare(x.first) >= 0 || before.last.Next() == x.first {
				if before.last.Less(x.last) {
					before.last = x.last
				}
				continue
			}
		}
		s.ranges = append(s.ranges, x)
	}
	s.ranges = slices.Clip(s.ranges)
	return s, nil
}

var errNotAddress = errors.New("not an address such as 192.0.2.7, a network such as 192.0.2.0/24, or a range")

func parseSpan(text string) (span, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return span{}, errNotAddress
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		p = p.Masked()
		return span{p.Addr(), last(p)}, nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	a, errA := netip.ParseAddr(strings.TrimSpace(from))
	b, errB := netip.ParseAddr(strings.TrimSpace(to))
	if errA != nil || errB != nil || a.Zone() != "" || b.Zone() != "" {
		return span{}, errNotAddress
	}
	a, b = a.Unmap(), b.Unmap()
	if a.BitLen() != b.BitLen() || b.Less(a) {
		return span{}, errors.New("a range that ends before it begins")
	}
	return span{a, b}, nil
}

// last is the last address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
