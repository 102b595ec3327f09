package swarm

import (
	"slices"
	"time"
)

// Denied says whether what is missing cannot be had. web: there are web seeds, and each has said for good that it does not have any of it, or has given other
// content; one that does not answer, or asks for patience, has said nothing. all: and nobody else is known who might have it: nobody who is connected, is being
// dialled or was not tried yet, and no peer that the user or a repository has named, unless it is a web seed's other door: one that cannot be reached may come back.
func (t *Transfer) Denied() (web, all bool) {
	if s, err := t.session(); err == nil {
		s.call(func() {
			web = s.webDenied(s.now())
			all = web && s.nobodyElse()
		})
	}
	return web, all
}

func (s *session) webDenied(now time.Time) bool {
	return len(s.webs) > 0 && !s.given() && !slices.ContainsFunc(s.webs, func(w *webSeed) bool { return len(w.runs) > 0 || !w.denies(now) })
}

// ban leaves a web seed alone for a while that gives wrong content.
func (w *webSeed) ban(now time.Time) {
	w.banned = now.Add(banTime)
	w.until = w.banned
	for r := range w.runs {
		r.stop()
	}
}

// denies says whether w has nothing of what is missing.
func (w *webSeed) denies(now time.Time) bool {
	switch s := w.s; {
	case w.dead || now.Before(w.banned):
		return true
	case len(w.without) == 0:
		return false
	default:
		for p := range s.have.n {
			if s.lacks(p) && s.mayWeb(w, p) {
				return false
			}
		}
		return true
	}
}

// nobodyElse says whether there is nobody beside the web seeds who might give what is missing.
func (s *session) nobodyElse() bool {
	for _, c := range s.conns {
		if !c.introduced || c.role == RoleEdge { // an edge may be fetching it
			return false
		}
	}
	for _, e := range s.book.known {
		if e.pin == "" && (e.dialing || !e.conn && !e.self && e.fails == 0 && e.until.IsZero()) {
			return false
		}
	}
	for pin, e := range s.book.pinned {
		door := slices.ContainsFunc(s.webs, func(w *webSeed) bool { return w.host == pin })
		if e.dialing || !e.conn && !e.self && (e.fails == 0 || !door) {
			return false
		}
	}
	return true
}
