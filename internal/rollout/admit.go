package rollout

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"shoal/internal/release"
)

// ErrWave is that a rollout has not come to a machine, or does not go on.
var ErrWave = errors.New("not by this wave")

// Claim is what a machine wants a slot for.
type Claim struct {
	App     string   `json:"app"`
	Channel string   `json:"channel"`
	Version string   `json:"version"`
	V2      string   `json:"v2"` // of the content that it would get
	Groups  []string `json:"groups,omitempty"`
}

// Rollouts are the rollouts of an origin's repository, as they stand. It is safe for concurrent use; nil has none.
type Rollouts struct {
	mu   sync.Mutex
	list []*release.Steered
}

// Set replaces them.
func (r *Rollouts) Set(list []*release.Steered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = list
}

// List returns them.
func (r *Rollouts) List() []*release.Steered {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list
}

// admittedBucket has who was counted into a rollout, by its document's Of: []string of machines.
const admittedBucket = "admitted"

// admit says whether a rollout has come to a machine, and counts it in where a wave is of so many machines.
func (r *Rollouts) admit(tx Tx, machine string, c *Claim, now time.Time) error {
	list := r.List()
	i := slices.IndexFunc(list, func(s *release.Steered) bool { return s.Channel.App == c.App && s.Channel.Channel == c.Channel })
	if i < 0 {
		return nil // its version is for all machines
	}
	s := list[i]
	policy := s.Channel.Rollout
	wave := s.Channel.Reached(s.At, now)
	switch {
	case s.Channel.Version != c.Version:
		return fmt.Errorf("%w: %s:%s is %s now", ErrWave, c.App, c.Channel, s.Channel.Version)
	case s.At.Halted || s.At.Paused:
		return fmt.Errorf("%w: it does not go on at the moment", ErrWave)
	case !slices.Contains(slices.Collect(maps.Values(s.V2)), c.V2):
		return fmt.Errorf("%w: %s@%s is another content", ErrWave, c.App, c.Version)
	case policy.Reaches(wave, machine, c.Groups, c.V2):
		return nil
	}
	var in []string
	if _, err := get(tx, admittedBucket, s.At.Of, &in); err != nil || slices.Contains(in, machine) {
		return err
	}
	if len(in) >= policy.Counted(wave) {
		return fmt.Errorf("%w: wave %d of %d has its machines", ErrWave, wave+1, len(policy.Waves))
	}
	return put(tx, admittedBucket, s.At.Of, append(in, machine))
}
