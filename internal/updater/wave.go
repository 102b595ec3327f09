package updater

import "shoal/internal/release"

// Rollout is how far a version may spread: the waves as its publisher has signed them, and where it stands.
type Rollout struct {
	Waves  []release.Wave
	Wave   int // the index of the one that it has reached; machines of those before may go on
	Paused bool
	Halted bool
	Why    string // of either; may be empty
}

// Reached says whether the rollout of a content has come to a machine.
func (r *Rollout) Reached(machine string, groups []string, v2 string) bool {
	return (&release.Policy{Waves: r.Waves}).Reaches(r.Wave, machine, groups, v2)
}

// Counted says whether it may come to the machine although it has not reached it, if the origin counts it in.
func (r *Rollout) Counted() bool { return (&release.Policy{Waves: r.Waves}).Counted(r.Wave) > 0 }
