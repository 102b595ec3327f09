package swarm

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The picker's slice must at all times hold exactly the pieces to begin, sorted by availability.
func TestPickerKeepsItsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "pieces")
		k := newPicker(n, rand.New(rand.NewPCG(1, 2)), false)
		avail := make([]int32, n)
		waits := make([]bool, n)
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			p := rapid.IntRange(0, n-1).Draw(t, "piece")
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				k.want(p)
				waits[p] = true
			case 1:
				k.begin(p)
				waits[p] = false
			case 2:
				k.gained(p)
				avail[p]++
			case 3:
				if avail[p] > 0 {
					k.lost(p)
					avail[p]--
				}
			}
			want := []int32{}
			for p, w := range waits {
				if w {
					want = append(want, int32(p))
				}
				if k.waits(p) != w || w && k.order[k.pos[p]] != int32(p) {
					t.Fatalf("piece %d: waits = %v at %d, want %v", p, k.waits(p), k.pos[p], w)
				}
			}
			got := slices.Clone(k.order)
			if !slices.IsSortedFunc(got, func(a, b int32) int { return int(avail[a] - avail[b]) }) {
				t.Fatalf("order %v is not sorted by availability %v", got, avail)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("to begin = %v, want %v", got, want)
			}
			rare := k.pick(func(int) bool { return true })
			for p := range waits {
				if waits[p] && avail[p] < avail[rare] {
					t.Fatalf("picked %d with availability %d, but %d has %d", rare, avail[rare], p, avail[p])
				}
			}
			k.inTurn = true
			if first := k.pick(func(int) bool { return true }); first != slices.Index(waits, true) {
				t.Fatalf("picked %d in turn, want %d", first, slices.Index(waits, true))
			}
			k.inTurn = false
		}
	})
}
