package edgecache

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"shoal/internal/schedule"
)

func TestPlan(t *testing.T) {
	missing := func() []fill {
		return []fill{{key: "old", published: noon}, {key: "new", published: noon.Add(time.Hour)}, {key: "hot", heat: 3}, {key: "pin", pinned: true}, {key: "going", running: true}}
	}
	start, stop, each := plan(missing(), 100, true)
	if !slices.Equal(start, []string{"pin", "hot", "new"}) || stop != nil || each != 25 {
		t.Errorf("open: start %v, stop %v, %d each", start, stop, each)
	}
	start, stop, _ = plan(missing(), 0, false)
	if start != nil || !slices.Equal(stop, []string{"going"}) {
		t.Errorf("closed: start %v, stop %v", start, stop)
	}
	if _, _, each := plan(nil, 0, true); each != 0 {
		t.Errorf("without a rate each has %d, want no bound", each)
	}
}

// Whatever is missing and whenever the clock is looked at: no byte is fetched ahead outside the windows, and inside them no more than their rate.
func TestNothingIsFetchedAheadOutsideItsWindow(t *testing.T) {
	rates, err := schedule.ParseRates("02:00-06:00=1000,Sat 12:00-13:00=50")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		now := noon.Add(time.Duration(rapid.IntRange(0, 7*24*3600).Draw(t, "begin")) * time.Second)
		left := map[string]int64{}
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			left[key] = rapid.Int64Range(1, 5_000_000).Draw(t, key)
		}
		running := map[string]bool{}
		for range 300 {
			var missing []fill
			for key, n := range left {
				if n > 0 {
					missing = append(missing, fill{key: key, running: running[key]})
				}
			}
			rate, open := rates.At(now)
			start, stop, each := plan(missing, rate, open)
			for _, key := range stop {
				delete(running, key)
			}
			for _, key := range start {
				running[key] = true
			}
			if len(running) > maxFills {
				t.Fatalf("%d at once", len(running))
			}
			if int64(len(running))*each > max(rate, int64(len(running))) {
				t.Fatalf("%d of %d bytes a second each", len(running), each)
			}
			wait := keepTime * time.Duration(rapid.IntRange(1, 3000).Draw(t, "wait"))
			if next, ok := rates.Next(now); ok { // as keepUp does
				wait = max(0, min(wait, next.Sub(now)))
			}
			for at := now; at.Before(now.Add(wait)); at = at.Add(7 * time.Second) {
				if _, open := rates.At(at); !open && len(running) > 0 {
					t.Fatalf("bytes at %v", at)
				}
			}
			for key := range running {
				if left[key] -= each * int64(wait.Seconds()); left[key] <= 0 {
					delete(running, key)
				}
			}
			now = now.Add(wait)
		}
	})
}
