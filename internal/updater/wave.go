package updater

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"shoal/internal/release"
)

// Rollout is how far a version may spread: the waves as its publisher has signed them, and where it stands.
type Rollout struct {
	Waves  []release.Wave
	Wave   int // the index of the one that it has reached; machines of those before may go on
	Paused bool
	Halted bool
	Why    string // of either; may be empty
}

// Reached says whether the rollout of a release has come to a machine.
func (r *Rollout) Reached(machine string, groups []string, release string) bool {
	place := Place(machine, release)
	for _, w := range r.Waves[:min(r.Wave+1, len(r.Waves))] {
		if place < w.Share || slices.ContainsFunc(w.Groups, func(g string) bool { return slices.Contains(groups, g) }) {
			return true
		}
	}
	return false
}

// Place is where in a rollout a machine comes, from 0 (first) up to 1: evenly spread, the same each time, and another for each release, so that it is not always
// the same machines that find out what is wrong. As a wave's share only grows, who is in stays in.
func Place(machine, release string) float64 {
	h := sha256.New()
	h.Write([]byte("shoal rollout\n" + release + "\n" + machine + "\n"))
	return float64(binary.BigEndian.Uint64(h.Sum(nil))>>11) / (1 << 53)
}
