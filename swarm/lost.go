package swarm

import "time"

// Lost lists the pieces that are wanted, missing, and with nobody: no peer that is connected has them, and
// there is no web seed that answers and might. They cannot be had until somebody who has them comes back. Empty
// also while it is not known yet what is here.
func (t *Transfer) Lost() []int {
	s, err := t.session()
	if err != nil {
		return nil
	}
	var lost []int
	if !s.call(func() { lost = s.lost() }) {
		return nil
	}
	return lost
}

func (s *session) lost() (pieces []int) {
	if s.pick == nil || s.seeds > 0 {
		return nil
	}
	for _, w := range s.webs {
		if !w.dead && w.fails == 0 { // one that fails gives nothing now, and whether it comes back nobody knows
			return nil
		}
	}
	for p := range s.have.n {
		if s.lacks(p) && s.pick.avail[p] == 0 {
			pieces = append(pieces, p)
		}
	}
	return pieces
}

// Given says whether anybody gives what is missing: a peer that is connected has some of it, or a web seed answers. It is yes also while it is not known what is
// missing, and when nothing is.
func (t *Transfer) Given() bool {
	given := true
	if s, err := t.session(); err == nil {
		s.call(func() { given = s.given() })
	}
	return given
}

func (s *session) given() bool {
	if s.pick == nil || s.complete() || s.seeds > 0 {
		return true
	}
	for _, c := range s.conns {
		if c.role == RoleOrigin { // it has everything, even what it does not show yet
			return true
		}
	}
	for _, w := range s.webs {
		for r := range w.runs {
			if r.heard.Load() {
				return true
			}
		}
	}
	for p := range s.have.n {
		if s.lacks(p) && s.pick.avail[p] > 0 {
			return true
		}
	}
	return false
}

// Retry asks those at once who have failed, and are left alone for a while.
func (t *Transfer) Retry() {
	if s, err := t.session(); err == nil {
		s.do(s.retry)
	}
}

func (s *session) retry() {
	for _, e := range s.book.pinned {
		e.again()
	}
	for _, e := range s.book.known {
		e.again()
	}
	for _, w := range s.webs {
		if w.fails > 0 {
			w.fails, w.until = 1, time.Time{} // until it brings something it counts as failed: see spared
		}
	}
	s.dialSome()
}
