package edgecache

import (
	"cmp"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"shoal/internal/disk"
)

// pin keeps a content.
type pin struct {
	Until time.Time `json:"until"` // zero: until it is taken out
}

func (p pin) holds(now time.Time) bool { return p.Until.IsZero() || now.Before(p.Until) }

// maxHeats bounds for how many contents demand is remembered.
const maxHeats = 100_000

// touch counts a request for a share of a content.
func (s *shelf) touch(key string, share float64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heats[key] = s.heats[key].plus(share, now)
	if len(s.heats) <= maxHeats {
		return
	}
	keys := slices.SortedFunc(maps.Keys(s.heats), func(a, b string) int { return cmp.Compare(s.heats[a].now(now), s.heats[b].now(now)) })
	for _, key := range keys[:len(keys)/10] {
		delete(s.heats, key)
	}
}

// heat is the demand for a content.
func (s *shelf) heat(key string) heat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heats[key]
}

// setPin pins what a name stands for, or with a nil pin takes that back.
func (s *shelf) setPin(name string, p *pin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	pins := maps.Clone(s.pins)
	if p == nil {
		delete(pins, name)
	} else {
		pins[name] = *p
	}
	path := filepath.Join(s.dir, "pins.json")
	b, err := json.Marshal(pins)
	if err == nil {
		err = s.replaces(path, b)
	}
	if err == nil {
		err = disk.WriteFile(path, b, 0o644)
	}
	if err == nil {
		s.pins = pins
	}
	return err
}

// pinned are the names that are pinned at a time.
func (s *shelf) pinned(now time.Time) map[string]pin {
	s.mu.Lock()
	defer s.mu.Unlock()
	pins := maps.Clone(s.pins)
	maps.DeleteFunc(pins, func(_ string, p pin) bool { return !p.holds(now) })
	return pins
}

// saveHeats keeps demand for the next run; what is lost with a crash is a minute of it.
func (s *shelf) saveHeats() error {
	path := filepath.Join(s.dir, "heat.json")
	s.mu.Lock()
	b, err := json.Marshal(s.heats)
	if err == nil {
		err = s.replaces(path, b)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return disk.ReplaceFile(path, b, 0o644)
}
