package swarm

import "time"

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
