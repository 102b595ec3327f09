package announce

import (
	"slices"
	"time"
)

// A torrent may be closed and added again at once: what was fetched is from then on seeded from where it lies. A tracker that hears "stopped" of the one after
// "started" of the other strikes us off its list, and nobody finds us until the next announce. So the new job's tiers wait for the farewell of the old one's.

// waits says whether a new tier has to wait for others, and has them let it go on. s.mu is held.
func (s *Scheduler) waits(t *tier) bool {
	for old := range s.leaving {
		if common(old.urls, t.urls) && common(old.job.InfoHashes, t.job.InfoHashes) {
			old.heirs = append(old.heirs, t)
			t.before++
		}
	}
	return t.before > 0
}

// forget ends a tier that has said farewell. s.mu is held.
func (s *Scheduler) forget(t *tier) {
	delete(s.tiers, t)
	delete(s.leaving, t)
	for _, heir := range t.heirs {
		if heir.before--; heir.before == 0 {
			s.push(heir, time.Now())
		}
	}
}

func common[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(x T) bool { return slices.Contains(b, x) })
}
