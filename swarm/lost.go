package swarm

// Lost lists the pieces that are wanted, missing, and with nobody: no peer that is connected has them, and
// there is no web seed that might. They cannot be had until somebody who has them comes back. Empty
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
		if !w.dead {
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
