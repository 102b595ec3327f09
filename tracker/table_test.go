package tracker

import (
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// checkTable fails if the table does not hold exactly want, in its order, each to be found.
func checkTable(t *rapid.T, tab *table[[4]byte], want map[endpoint[[4]byte]]peer[[4]byte]) {
	if tab.len() != len(want) {
		t.Fatalf("len = %d, want %d", tab.len(), len(want))
	}
	var wanting, seeds int32
	for i, p := range tab.spots {
		w, ok := want[endpoint[[4]byte]{p.addr, p.port}]
		if p := tab.at(i); !ok || w != p {
			t.Fatalf("peer %d = %+v, want %+v", i, p, w)
		}
		if got := tab.find(p.addr, p.port); got != i {
			t.Fatalf("find(%v, %d) = %d, want %d", p.addr, p.port, got, i)
		}
		if (p.state.kind() == leecher) != (i < int(tab.wanting)) {
			t.Fatalf("peer %d of kind %d stands on the wrong side of %d", i, p.state.kind(), tab.wanting)
		}
		if p.state.kind() == leecher {
			wanting++
		}
		if p.state.kind() == seed {
			seeds++
		}
	}
	if tab.wanting != wanting || tab.seeds != seeds {
		t.Fatalf("wanting, seeds = %d, %d, want %d, %d", tab.wanting, tab.seeds, wanting, seeds)
	}
}

func TestTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tab table[[4]byte]
		want := map[endpoint[[4]byte]]peer[[4]byte]{}
		span := rapid.IntRange(2, 900).Draw(t, "span")            // small tables have no index
		for n := range rapid.IntRange(0, 400).Draw(t, "before") { // large tables have an index
			p := newPeer([4]byte{10, 0, byte(n / 3 >> 8), byte(n / 3)}, uint16(1+n%3), kind(n%2), false, 1, [20]byte{12: byte(n)}, 0)
			tab.put(p, uint32(n)*2654435761)
			want[endpoint[[4]byte]{p.addr, p.port}] = p
		}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			n := rapid.IntRange(0, span).Draw(t, "who")
			p := newPeer([4]byte{10, 0, byte(n / 3 >> 8), byte(n / 3)}, uint16(1+n%3), kind(rapid.IntRange(0, 2).Draw(t, "kind")), false, 0, [20]byte{12: byte(n)}, 0)
			at := endpoint[[4]byte]{p.addr, p.port}
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0, 1, 2:
				if i := tab.find(p.addr, p.port); i >= 0 {
					tab.remove(i)
				}
				delete(want, at)
			case 3:
				tab.shrink()
			default:
				p.expires = uint32(rapid.IntRange(1, 9).Draw(t, "expires"))
				if before, had := want[at]; tab.refresh(&p) {
					if !had || before.state != p.state {
						t.Fatalf("refreshed %+v as %+v", before, p)
					}
					want[at] = p
					break
				}
				old, had := tab.put(p, rapid.Uint32().Draw(t, "random"))
				if w, ok := want[at]; ok != had || w != old {
					t.Fatalf("put replaced %+v, %v, want %+v, %v", old, had, w, ok)
				}
				want[at] = p
			}
			checkTable(t, &tab, want)
		}
	})
}

func TestPeersAreSmall(t *testing.T) {
	if got := unsafe.Sizeof(spot[[4]byte]{}) + unsafe.Sizeof(detail{}); got != 36 {
		t.Errorf("an IPv4 peer takes %d bytes, want 36", got)
	}
	if got := unsafe.Sizeof(spot[[16]byte]{}) + unsafe.Sizeof(detail{}); got != 48 {
		t.Errorf("an IPv6 peer takes %d bytes, want 48", got)
	}
	var tab table[[4]byte]
	for i := range 100_000 {
		tab.put(newPeer([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}, 1, leecher, false, 0, [20]byte{}, 0), uint32(i)*2654435761)
		if n := i + 1; n >= 100 {
			if bytes := cap(tab.spots)*12 + cap(tab.details)*24 + cap(tab.tags) + len(tab.index)*4; bytes > 63*n {
				t.Fatalf("%d peers take %d bytes each, want at most 63", n, bytes/n)
			}
		}
	}
}

func TestWalkVisitsEachOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 50, 64, 1000, maxLooks} {
		for random := range uint64(40) {
			seen := make(map[int]bool)
			w := newWalk(7, 7+n, draw(&random))
			for w.left > 0 {
				from, to := w.run(13)
				if to-from > 13 {
					t.Fatalf("13 positions are those from %d to %d", from, to)
				}
				for i := from; i < to; i++ {
					if i < 7 || i >= 7+n || seen[i] {
						t.Fatalf("a walk over %d positions from 7 came to %d (seen: %v)", n, i, seen[i])
					}
					seen[i] = true
				}
			}
			if len(seen) != n {
				t.Fatalf("a walk over %d positions visited %d", n, len(seen))
			}
		}
	}
}
