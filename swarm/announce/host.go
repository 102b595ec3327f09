package announce

import (
	"context"
	"errors"
	"net/url"
	"time"
)

// host is what we know of one tracker host, shared by all torrents that use it. s.mu guards it.
type host struct {
	asked  int // requests under way
	fails  int // how often in a row it could not be reached
	until  time.Time
	err    error
	parked []*tier // due, and waiting for a request under way to end
}

// hostOf names the host of an announce URL.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Scheme + "://" + u.Host
}

// gate is whether a request may be made.
type gate int

const (
	open gate = iota
	down      // the host could not be reached a moment ago
	full      // enough requests are under way: the tier was parked
)

// enter asks to make a request for t. A host may hold all but a quarter of the workers, and one
// that was down a single worker, until it is known to be back.
func (s *Scheduler) enter(name string, t *tier) (gate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[name]
	if h == nil {
		h = &host{}
		s.hosts[name] = h
	}
	most := max(1, s.cfg.Workers*3/4)
	if h.fails > 0 {
		most = 1
	}
	switch {
	case time.Now().Before(h.until):
		return down, h.err
	case h.asked >= most:
		h.parked = append(h.parked, t)
		t.hurried = time.Now() // so that it is announced when it comes back
		return full, nil
	}
	h.asked++
	return open, nil
}

// leave ends a request that enter has allowed; unreachable says why the host gave no answer. One
// that we gave up ourselves (context.Canceled) says nothing about the host.
func (s *Scheduler) leave(name string, unreachable error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[name]
	h.asked--
	now := time.Now()
	switch {
	case errors.Is(unreachable, context.Canceled):
	case unreachable == nil:
		h.fails, h.err, h.until = 0, nil, time.Time{}
		n := min(len(h.parked), max(1, s.cfg.Workers*3/4)-h.asked)
		for _, t := range h.parked[:max(n, 0)] {
			s.push(t, now)
		}
		h.parked = h.parked[max(n, 0):]
	default:
		if !now.Before(h.until) { // several that were under way together count once
			h.fails++
			h.until = now.Add(backoff(h.fails))
		}
		h.err = unreachable
		for _, t := range h.parked { // they fail at once, or go to the next tracker of their tier
			s.push(t, now)
		}
		h.parked = nil
	}
	if h.asked == 0 && h.fails == 0 && len(h.parked) == 0 {
		delete(s.hosts, name)
	}
}

// retryAt is when the first of these trackers may be reached again.
func (s *Scheduler) retryAt(urls []string) (at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range urls {
		if h := s.hosts[hostOf(u)]; h != nil && (at.IsZero() || h.until.Before(at)) {
			at = h.until
		}
	}
	return at
}
