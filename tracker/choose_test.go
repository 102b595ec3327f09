package tracker

import (
	"testing"

	"pgregory.net/rapid"
)

// crowd makes a table of peers, and the table of those of site 1. Peer i has address 10.x.x.x, port 1 and an id that begin with i.
func crowd(n int, each func(i int) (kind, bool, uint32, uint32)) (all, site *table[[4]byte]) {
	all, site = new(table[[4]byte]), new(table[[4]byte])
	random := uint64(n)
	for i := range n {
		k, local, expires, at := leecher, false, uint32(100), uint32(0)
		if each != nil {
			k, local, expires, at = each(i)
		}
		id := [20]byte{1, byte(i >> 8), byte(i), 18: byte(i >> 8), 19: byte(i)}
		p := newPeer([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}, 1, k, local, expires, id, at)
		all.put(p, uint32(draw(&random)))
		if at == 1 {
			site.put(p, uint32(draw(&random)))
		}
	}
	return all, site
}

// chosen is what choose gives, with the peers' ids.
func chosen(all, site *table[[4]byte], self endpoint[[4]byte], a *asker, n int) []peer[[4]byte] {
	var c choice[[4]byte]
	a.ids = true
	choose(all, site, self, a, n, &c)
	var out []peer[[4]byte]
	for i := range c.peers {
		out = append(out, all.at(all.find(c.peers[i].addr, c.peers[i].port)))
		if out[i].id != c.ids[i] || out[i].spot != c.peers[i] {
			panic("a peer with the id of another")
		}
	}
	return out
}

func number(p *peer[[4]byte]) int { return int(p.addr[1])<<16 | int(p.addr[2])<<8 | int(p.addr[3]) }

func TestChoiceKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 150).Draw(t, "size")
		all, site := crowd(size, func(int) (k kind, local bool, expires, at uint32) {
			expires = 100
			if rapid.IntRange(0, 9).Draw(t, "expired") == 0 {
				expires = 50
			}
			return kind(rapid.IntRange(0, 2).Draw(t, "kind")), rapid.IntRange(0, 9).Draw(t, "local") == 0, expires, uint32(rapid.IntRange(0, 2).Draw(t, "site"))
		})
		a := asker{wants: rapid.Bool().Draw(t, "wants"), now: 50, random: rapid.Uint64().Draw(t, "random")}
		a.local = rapid.Bool().Draw(t, "asks locally")
		a.site = uint32(rapid.IntRange(0, 1).Draw(t, "asks from site"))
		if a.site == 0 {
			site = nil
		}
		var self endpoint[[4]byte]
		if size > 0 {
			me := all.at(rapid.IntRange(0, size-1).Draw(t, "me"))
			a.id = me.id
			if rapid.Bool().Draw(t, "by address") {
				self, a.id = endpoint[[4]byte]{me.addr, me.port}, [20]byte{9}
			}
		}
		n := rapid.IntRange(0, 100).Draw(t, "n")

		fits := func(p *peer[[4]byte]) bool {
			return p.expires > 50 && (!p.state.local() || a.local) && (a.wants || p.state.kind() == leecher) &&
				p.id != a.id && (endpoint[[4]byte]{p.addr, p.port}) != self
		}
		could, couldSite := 0, 0
		for i := range all.spots {
			if p := all.at(i); fits(&p) {
				could++
				if a.site == 1 && p.site == 1 {
					couldSite++
				}
			}
		}
		got := chosen(all, site, self, &a, n)
		if len(got) != min(n, could) {
			t.Fatalf("got %d peers, want min(%d wished, %d there)", len(got), n, could)
		}
		seen, near := map[int]bool{}, 0
		for i := range got {
			p := &got[i]
			if !fits(p) || seen[number(p)] {
				t.Fatalf("got %+v, which is unfit or given twice", p)
			}
			seen[number(p)] = true
			if p.site == 1 {
				near++
			}
		}
		if want := min(couldSite, n-max(n/8, 1)); a.site == 1 && near < want {
			t.Fatalf("got %d peers of the site, want %d or more", near, want)
		}
		if others := could - couldSite; a.site == 1 && n > 0 && len(got)-near < min(others, max(n/8, 1), n) {
			t.Fatalf("got %d peers of elsewhere, of %d", len(got)-near, others)
		}
	})
}

func TestLeecherGetsTheOneSeed(t *testing.T) {
	all, _ := crowd(1000, func(i int) (kind, bool, uint32, uint32) {
		if i == 500 {
			return seed, false, 100, 0
		}
		return leecher, false, 100, 0
	})
	for random := range uint64(100) {
		got := chosen(all, nil, endpoint[[4]byte]{}, &asker{wants: true, random: random}, 20)
		seeds := 0
		for i := range got {
			if got[i].state.kind() == seed {
				seeds++
			}
		}
		if len(got) != 20 || seeds != 1 {
			t.Fatalf("random %d: %d peers with %d seeds, want 20 with the one seed", random, len(got), seeds)
		}
	}
}

func TestLeecherGetsHalfSeedsHalfLeechers(t *testing.T) {
	all, _ := crowd(1000, func(i int) (kind, bool, uint32, uint32) {
		if i%2 == 0 {
			return seed, false, 100, 0
		}
		return leecher, false, 100, 0
	})
	got := chosen(all, nil, endpoint[[4]byte]{}, &asker{wants: true, random: 1}, 50)
	seeds := 0
	for i := range got {
		if got[i].state.kind() == seed {
			seeds++
		}
	}
	if seeds != 25 {
		t.Errorf("%d of 50 peers are seeds, want half", seeds)
	}
}

func TestChanceAmongEquals(t *testing.T) {
	const size, n, rounds = 60, 6, 20_000
	all, _ := crowd(size, nil)
	times := make([]int, size)
	for random := range uint64(rounds) {
		for _, p := range chosen(all, nil, endpoint[[4]byte]{}, &asker{wants: true, random: random}, n) {
			times[number(&p)]++
		}
	}
	for i, got := range times {
		if want := rounds * n / size; got < want*9/10 || got > want*11/10 {
			t.Errorf("peer %d was chosen %d times, want %d ± 10 %%", i, got, want)
		}
	}
}

// Answers must not hand out neighbours in time only, else a large swarm is a chain: from one peer, all others are to be within few steps.
func TestSwarmIsWellConnected(t *testing.T) {
	const size = 4000
	all, _ := crowd(size, nil)
	next := make([][]int, size)
	random := uint64(1)
	for i := range size {
		a := asker{id: [20]byte{1, byte(i >> 8), byte(i), 18: byte(i >> 8), 19: byte(i)}, wants: true, random: draw(&random)}
		for _, p := range chosen(all, nil, endpoint[[4]byte]{}, &a, 10) {
			next[i] = append(next[i], number(&p))
			next[number(&p)] = append(next[number(&p)], i)
		}
	}
	steps := map[int]int{0: 0}
	queue, deepest := []int{0}, 0
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		deepest = max(deepest, steps[at])
		for _, to := range next[at] {
			if _, seen := steps[to]; !seen {
				steps[to] = steps[at] + 1
				queue = append(queue, to)
			}
		}
	}
	if len(steps) != size || deepest > 5 {
		t.Errorf("from one peer %d of %d are reached, in up to %d steps; want all in 5", len(steps), size, deepest)
	}
}
