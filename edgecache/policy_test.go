package edgecache

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func hot(n float64) heat { return heat{n, noon} }

func names(items []item) string {
	var keys []string
	for _, i := range items {
		keys = append(keys, i.key)
	}
	return strings.Join(keys, " ")
}

func TestHeatHalves(t *testing.T) {
	h := heat{}.plus(4, noon)
	if got := h.now(noon.Add(halfLife)); got != 2 {
		t.Errorf("after a half-life 4 requests count %v, want 2", got)
	}
	if got := h.plus(1, noon.Add(2*halfLife)).now(noon.Add(2 * halfLife)); got != 2 {
		t.Errorf("after two half-lives and one request more: %v, want 2", got)
	}
	if got := h.plus(1, noon.Add(-100*halfLife)).now(noon); got != 5 {
		t.Errorf("with the clock set back: %v, want 5", got)
	}
}

func TestEvictAndAdmit(t *testing.T) {
	shelf := []item{
		{key: "cold", bytes: 10, heat: hot(1)},
		{key: "warm", bytes: 10, heat: hot(5)},
		{key: "hot", bytes: 10, heat: hot(50)},
		{key: "busy", bytes: 10, heat: hot(0.1), busy: true},
		{key: "pin", bytes: 10, pinned: true},
		{key: "owned", bytes: 10, heat: hot(1), owned: true},
	}
	for _, tt := range []struct {
		name    string
		come    item
		need    int64
		victims string
		ok      bool
	}{
		{"there is room", item{bytes: 5}, 0, "", true},
		{"never asked for", item{bytes: 5}, 5, "", false},
		{"a scan", item{bytes: 10, heat: hot(1)}, 10, "", false},
		{"asked for twice", item{bytes: 10, heat: hot(2)}, 10, "cold", true},
		{"smaller than what would go", item{bytes: 4, heat: hot(2)}, 4, "", false},
		{"larger than one", item{bytes: 20, heat: hot(4)}, 20, "cold warm", true},
		{"not worth both", item{bytes: 20, heat: hot(2)}, 20, "", false},
		{"the ring's", item{bytes: 10, owned: true}, 10, "cold", true},
		{"in use stays", item{bytes: 50, heat: hot(1000)}, 50, "", false},
		{"but for what is pinned", item{bytes: 50, pinned: true}, 50, "cold warm owned hot busy", true},
		{"larger than all", item{bytes: 500, pinned: true}, 500, "", false},
		{"what need not go stays", item{bytes: 10, heat: hot(100)}, 19, "cold warm", true},
	} {
		victims, ok := admit(shelf, tt.come, tt.need, noon)
		if names(victims) != tt.victims || ok != tt.ok {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, names(victims), ok, tt.victims, tt.ok)
		}
	}
}

func TestEvictKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) item {
			return item{key: rapid.StringMatching(`[a-z]{4}`).Draw(t, "key"), bytes: rapid.Int64Range(1, 1000).Draw(t, "bytes"),
				heat: hot(rapid.Float64Range(0, 100).Draw(t, "heat")), pinned: rapid.Bool().Draw(t, "pinned"), busy: rapid.Bool().Draw(t, "busy")}
		}), 0, 20).Draw(t, "items")
		need := rapid.Int64Range(-10, 5000).Draw(t, "need")
		before := slices.Clone(items)
		victims, ok := evict(items, need, noon)
		if !slices.Equal(before, items) {
			t.Fatal("the items were changed")
		}
		var freed, could int64
		for _, v := range victims {
			freed += v.bytes
			if v.pinned {
				t.Fatal("a pinned item goes")
			}
		}
		for _, i := range items {
			if !i.pinned {
				could += i.bytes
			}
		}
		if ok != (could >= need || need <= 0) || ok && freed < need || !ok && victims != nil {
			t.Fatalf("need %d, could %d, freed %d, ok %v", need, could, freed, ok)
		}
		for i, v := range victims {
			if freed-v.bytes >= need {
				t.Fatalf("victim %d need not go", i)
			}
		}
	})
}
