package agenda

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type thing struct {
	Entry
	due time.Time // what it ought to be
}

// TestQueue does what callers do in any order, and compares with a sorted list.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[*thing]
		things := make([]thing, 12)
		var in []*thing
		first := func(x *thing) bool {
			return !slices.ContainsFunc(in, func(y *thing) bool { return y.due.Before(x.due) })
		}
		alone := func(x *thing) bool { // nothing else is due as early
			return !slices.ContainsFunc(in, func(y *thing) bool { return y != x && !y.due.After(x.due) })
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			x := &things[rapid.IntRange(0, len(things)-1).Draw(t, "thing")]
			at := time.Unix(rapid.Int64Range(1, 1000).Draw(t, "time"), 0)
			queued := slices.Contains(in, x)
			if x.Queued() != queued {
				t.Fatalf("Queued = %v, want %v", x.Queued(), queued)
			}
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				if x.due = at; !queued {
					in = append(in, x)
				}
				if got := q.Put(x, at); got && !first(x) || !got && alone(x) {
					t.Fatalf("Put = %v of what is due at %v", got, at.Unix())
				}
			case 1:
				earlier := queued && at.Before(x.due)
				if earlier {
					x.due = at
				}
				if got := q.Sooner(x, at); got && !(earlier && first(x)) || !got && earlier && alone(x) {
					t.Fatalf("Sooner = %v of what is due at %v", got, at.Unix())
				}
			case 2:
				q.Remove(x)
				in = slices.DeleteFunc(in, func(y *thing) bool { return y == x })
			case 3:
				y, wait := q.Next(at)
				if y == nil {
					want := time.Hour
					for i, z := range in {
						if d := z.due.Sub(at); i == 0 || d < want {
							want = d
						}
					}
					if wait != want || wait <= 0 {
						t.Fatalf("nothing is due for %v, want %v", wait, want)
					}
					continue
				}
				if wait != 0 || y.due.After(at) || !first(y) || y.Queued() {
					t.Fatalf("Next(%v) = due at %v, wait %v: not the first that is due", at.Unix(), y.due.Unix(), wait)
				}
				in = slices.DeleteFunc(in, func(z *thing) bool { return z == y })
			}
		}
	})
}
