package edgecache

import (
	"cmp"
	"math"
	"net/url"
	"slices"
	"strings"
)

// Member is an edge of the cluster.
type Member struct {
	Name     string `json:"name"`
	Zone     string `json:"zone,omitempty"`
	Addr     string `json:"addr"` // HOST:PORT of its one port
	Draining bool   `json:"draining,omitempty"`
	// TLS says that its port speaks that as well, and URL where its operator says that clients reach it; empty: at Addr.
	TLS bool   `json:"tls,omitempty"`
	URL string `json:"url,omitempty"`
	// Follows stands for the patterns of the apps that it follows; empty: none. Those that follow the same share that out.
	Follows string `json:"follows,omitempty"`
	// PullThrough says that it fetches what is asked for and not followed.
	PullThrough bool `json:"pull_through,omitempty"`
}

// forClients is where clients are led to for a path: as its operator says, else at its address, over TLS if it speaks that and the client does.
func (m Member) forClients(path string, secure bool) string {
	if u, err := url.Parse(m.URL); err == nil && u.Host != "" {
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+path, ""
		return u.String()
	}
	u := url.URL{Scheme: "http", Host: m.Addr, Path: path}
	if secure && m.TLS {
		u.Scheme = "https"
	}
	return u.String()
}

// maxLoad is how much more than the mean an edge may have to keep.
const maxLoad = 1.25

// slack is how much more an edge may have of the first contents that are given out: of few, chance alone gives some of them more.
const slack = 16

// score is how much a member wants a content: rendezvous hashing (Thaler & Ravishankar 1998). It depends on the two names alone, by FNV-1a and the last
// steps of MurmurHash3, without which names that differ in one digit would score alike.
func score(member, key string) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range []string{member, "\x00", key} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// owners decides which members keep which contents: each the replicas that want it most, in different zones while there are enough, and none more than maxLoad
// times the mean (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016). All members that know the same contents and members come
// to the same answer. Those that drain own nothing. The first owner of a content is the one to get it from its origin.
func owners(keys []string, members []Member, replicas int) map[string][]Member {
	members = slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Draining })
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	replicas = min(replicas, len(members))
	if replicas < 1 {
		return nil
	}
	mean := func(n int) float64 { return float64(n*replicas) / float64(len(members)) }
	most := max(int(maxLoad*mean(len(keys))), int(math.Ceil(mean(len(keys))))) // or not all would have a place
	load := make([]int, len(members))
	all := make(map[string][]Member, len(keys))
	for n, key := range byHash(keys) {
		// Who is full early would be missed by those that come late, and need different owners.
		room := min(most, int(maxLoad*mean(n+1))+slack)
		order := make([]int, len(members))
		scores := make([]uint64, len(members))
		for i := range members {
			order[i], scores[i] = i, score(members[i].Name, key)
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(a, b)) })
		var chosen []int
		zones := map[string]bool{}
		sparing := scarce(load, most, len(keys)-n, replicas)
		take := func(i int) {
			chosen = append(chosen, i)
			zones[members[i].Zone] = true
			sparing.take(load[i])
			load[i]++
		}
		may := func(i int) bool { return load[i] < most && !slices.Contains(chosen, i) && sparing.may(load[i]) }
		for _, distinct := range []bool{true, false} {
			for _, i := range order {
				if len(chosen) < replicas && load[i] < room && may(i) && !(distinct && zones[members[i].Zone]) {
					take(i)
				}
			}
		}
		for len(chosen) < replicas { // full for now: those with least
			least := -1
			for _, i := range order {
				if may(i) && (least < 0 || load[i] < load[least]) {
					least = i
				}
			}
			take(least)
		}
		slices.SortFunc(chosen, func(a, b int) int { return cmp.Compare(slices.Index(order, a), slices.Index(order, b)) })
		for _, i := range chosen {
			all[key] = append(all[key], members[i])
		}
	}
	return all
}

// scarcity sees to it that those who come last still find enough different members with room: with left contents to go, of members that have room for fewer
// than that only some can be taken now. Room is enough exactly if the sum of min(room, left) over all members is the replicas that are left (max-flow min-cut).
type scarcity struct {
	full  int // a member with more than that has not room for all that are left
	spare int // how many of those can be taken
}

func scarce(load []int, most, left, replicas int) scarcity {
	s := scarcity{full: most - left, spare: -replicas * (left - 1)}
	for _, l := range load {
		if l <= s.full {
			s.spare += left - 1
		} else {
			s.spare += most - l
		}
	}
	return s
}

func (s *scarcity) may(load int) bool { return load <= s.full || s.spare > 0 }

func (s *scarcity) take(load int) {
	if load > s.full {
		s.spare--
	}
}

// byHash orders contents by chance, the same for all: those that come late find the places full, and that is to hit nobody in particular.
func byHash(keys []string) []string {
	type hashed struct {
		key string
		h   uint64
	}
	list := make([]hashed, len(keys))
	for i, k := range keys {
		list[i] = hashed{k, score("", k)}
	}
	slices.SortFunc(list, func(a, b hashed) int { return cmp.Or(cmp.Compare(a.h, b.h), cmp.Compare(a.key, b.key)) })
	sorted := make([]string, len(keys))
	for i, x := range list {
		sorted[i] = x.key
	}
	return sorted
}

// holding is how far another edge has a content.
type holding string

const (
	holdsNone     holding = ""
	holdsSoon     holding = "soon" // it is not there yet, and comes when it is asked for
	holdsFull     holding = "full" // it is to be there, and had no room when it was fetched last
	holdsFetching holding = "fetching"
	holdsWhole    holding = "whole"
)

// sources decides whom an edge gets a content from: those of the cluster that have it, else those that are getting it, and its origin only if it is the one
// to do that for all, or if from the others nothing comes.
func sources(self string, own []Member, have map[string]holding, members []Member, stalled bool) (from []Member, origin bool) {
	with := func(h holding) (list []Member) {
		for _, m := range members {
			if m.Name != self && have[m.Name] == h {
				list = append(list, m)
			}
		}
		return list
	}
	if from = with(holdsWhole); len(from) > 0 {
		return from, stalled
	}
	from = with(holdsFetching)
	leads := len(own) == 0 || own[0].Name == self
	for _, m := range own {
		if m.Name != self && !slices.Contains(from, m) {
			from = append(from, m)
		}
	}
	return from, leads || stalled || len(from) == 0
}
