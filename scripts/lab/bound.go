//go:build linux

package main

import "time"

// bound is T_min in seconds: the shortest time in which payload can be with everybody. It counts bits of
// content only; headers alone make 1.047 of it. 0: nothing is shaped, so there is no bound.
//
// F/u_s, F/d_min and N·F/(u_s+Σu_i) are those of Kumar and Ross (2006) for machines that each have a link of
// their own. A site is one such machine on the outside; inside it, its uplink is the origin.
func (s *scenario) bound() float64 {
	if s.Bound > 0 {
		return time.Duration(s.Bound).Seconds()
	}
	bits := 8 * float64(s.Size)
	outer := star{up: s.Origin.Up, budget: s.Shoal.Budget}
	inner := map[string]*star{}
	for _, x := range s.Sites {
		outer.add(x.Up, x.Down)
		inner[x.Name] = &star{up: x.Down}
	}
	for _, g := range s.Machines {
		for range g.Count {
			switch {
			case g.Poisoner || g.After > 0:
			case g.Site != "":
				inner[g.Site].add(g.Up, g.Down)
			case g.NAT:
				outer.add(0, g.Down)
				outer.alone = true
			default:
				outer.add(g.Up, g.Down)
			}
		}
	}
	t := outer.seconds(bits)
	for _, x := range inner {
		t = max(t, x.seconds(bits))
	}
	return t
}

// star is a source and the machines around it.
type star struct {
	up       rate // of the source; 0: without bound
	budget   float64
	ups      rate
	unshaped bool // some machine gives without bound
	alone    bool // machines cannot reach each other
	slowest  rate // of the ways down; 0: without bound
	n        float64
}

func (s *star) add(up, down rate) {
	s.n++
	s.ups += up
	s.unshaped = s.unshaped || up == 0
	if down > 0 && (s.slowest == 0 || down < s.slowest) {
		s.slowest = down
	}
}

func (s *star) seconds(bits float64) (t float64) {
	if s.slowest > 0 {
		t = bits / float64(s.slowest)
	}
	if s.up > 0 {
		t = max(t, bits/float64(s.up))
		switch {
		case s.alone:
			t = max(t, s.n*bits/float64(s.up))
		case !s.unshaped:
			t = max(t, s.n*bits/float64(s.up+s.ups))
		}
	}
	if s.budget > 0 && !s.unshaped && !s.alone && s.ups > 0 {
		t = max(t, (s.n-s.budget)*bits/float64(s.ups))
	}
	return t
}
