package edgecache

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func someMembers(n, zones int) (list []Member) {
	for i := range n {
		m := Member{Name: fmt.Sprintf("edge-%d", i)}
		if zones > 0 {
			m.Zone = fmt.Sprint("zone-", i%zones)
		}
		list = append(list, m)
	}
	return list
}

func someKeys(t *rapid.T, n int) []string {
	seed := rapid.Uint32().Draw(t, "seed")
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%d-%d", seed, i)
	}
	return keys
}

// No edge has more than 1.25 times the mean, each content has its replicas, and no two in one zone while there are enough.
func TestWhereClientsAreLed(t *testing.T) {
	plain, secure := Member{Addr: "10.0.0.1:7070"}, Member{Addr: "10.0.0.1:7070", TLS: true}
	named := Member{Addr: "10.0.0.1:7070", TLS: true, URL: "https://edge.example/below/"}
	for _, x := range []struct {
		m    Member
		tls  bool
		want string
	}{
		{plain, false, "http://10.0.0.1:7070/a%20b%25"},
		{plain, true, "http://10.0.0.1:7070/a%20b%25"},
		{secure, false, "http://10.0.0.1:7070/a%20b%25"},
		{secure, true, "https://10.0.0.1:7070/a%20b%25"},
		{named, false, "https://edge.example/below/a%20b%25"},
	} {
		if got := x.m.forClients("/a b%", x.tls); got != x.want {
			t.Errorf("%+v for a client with TLS %v: %s, want %s", x.m, x.tls, got, x.want)
		}
	}
}

// Between the coming or going of an edge and the sharing out anew nobody is told to keep nothing.
func TestStatusWhileItIsSharedOutAnew(t *testing.T) {
	r, err := newRing(Cluster{Name: "a", Gossip: "127.0.0.1:0", Key: "a key of a test"}, nil, func(string) bool { return true }, false, func() {}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.members, r.keys = []Member{{Name: "a"}, {Name: "b", Draining: true}}, []string{"1", "2", "3"}
	for _, m := range r.status().Members {
		if want := map[string]int{"a": 3}[m.Name]; m.Owns != want {
			t.Errorf("%s keeps %d contents, want %d", m.Name, m.Owns, want)
		}
	}
}

func TestOwnersAreManyAndEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, replicas := rapid.IntRange(1, 12).Draw(t, "n"), rapid.IntRange(1, 3).Draw(t, "replicas")
		zones := rapid.IntRange(0, 4).Draw(t, "zones")
		members := someMembers(n, zones)
		keys := someKeys(t, rapid.IntRange(0, 400).Draw(t, "keys"))
		all := owners(keys, members, replicas)
		load := map[string]int{}
		for _, key := range keys {
			own := all[key]
			if len(own) != min(replicas, n) {
				t.Fatalf("%d owners, want %d of %d edges", len(own), replicas, n)
			}
			for i, m := range own {
				load[m.Name]++
				if slices.Contains(own[:i], m) {
					t.Fatalf("%s twice", m.Name)
				}
			}
		}
		mean := float64(len(keys)*min(replicas, n)) / float64(n)
		for name, l := range load {
			if float64(l) > 1.25*mean && float64(l) > mean+1 {
				t.Fatalf("%s has %d, the mean is %.1f", name, l, mean)
			}
		}
	})
}

// With room enough in each zone no two replicas share one.
func TestOwnersInDifferentZones(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := someKeys(t, 300)
		shared := 0
		for _, own := range owners(keys, someMembers(9, 3), 2) {
			if own[0].Zone == own[1].Zone {
				shared++
			}
		}
		if shared > 0 {
			t.Fatalf("%d contents have both replicas in one zone", shared)
		}
	})
}

// One edge more or less moves its share and hardly more.
func TestOwnersMoveOnlyWhatTheyMust(t *testing.T) {
	keys := make([]string, 5000)
	for i := range keys {
		keys[i] = fmt.Sprint("content-", i)
	}
	for n := 3; n <= 12; n++ {
		for replicas := 1; replicas <= 2; replicas++ {
			members := someMembers(n, 0)
			gone := n / 2
			with := owners(keys, members, replicas)
			without := owners(keys, slices.Delete(slices.Clone(members), gone, gone+1), replicas)
			for what, change := range map[string][2]map[string][]Member{"goes": {with, without}, "comes": {without, with}} {
				moved := 0
				for _, key := range keys {
					for _, m := range change[1][key] {
						if !slices.Contains(change[0][key], m) {
							moved++
						}
					}
				}
				if share := float64(moved) / float64(len(keys)*replicas); share > 1/float64(n)+0.02 {
					t.Errorf("%d edges, %d replicas: %.3f of the contents move when one %s, want at most %.3f", n, replicas, share, what, 1/float64(n)+0.02)
				}
			}
		}
	}
}

func TestDrainingOwnsNothing(t *testing.T) {
	members := someMembers(3, 0)
	members[1].Draining = true
	for key, own := range owners([]string{"a", "b", "c", "d"}, members, 2) {
		if len(own) != 2 || own[0].Name == "edge-1" || own[1].Name == "edge-1" {
			t.Errorf("%s is kept by %v", key, own)
		}
	}
	if owners([]string{"a"}, nil, 2) != nil {
		t.Error("nobody owns something")
	}
}

func TestSources(t *testing.T) {
	m := someMembers(4, 0)
	for _, tt := range []struct {
		name    string
		self    int
		own     []Member
		have    map[string]holding
		stalled bool
		from    []Member
		origin  bool
	}{
		{"alone", 0, nil, nil, false, nil, true},
		{"the first owner", 0, m[:2], nil, false, m[1:2], true},
		{"the second", 1, m[:2], nil, false, m[:1], false},
		{"another one has it", 0, m[:2], map[string]holding{"edge-2": holdsWhole, "edge-1": holdsFetching}, false, m[2:3], false},
		{"another one is at it", 1, m[:2], map[string]holding{"edge-2": holdsFetching}, false, []Member{m[2], m[0]}, false},
		{"no owner, but asked for", 3, m[:2], nil, false, m[:2], false},
		{"nothing comes", 3, m[:2], map[string]holding{"edge-0": holdsWhole}, true, m[:1], true},
	} {
		from, origin := sources(m[tt.self].Name, tt.own, tt.have, m, tt.stalled)
		if !slices.Equal(from, tt.from) || origin != tt.origin {
			t.Errorf("%s: %v, origin %v; want %v, %v", tt.name, from, origin, tt.from, tt.origin)
		}
	}
}
