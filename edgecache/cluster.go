package edgecache

import (
	"context"
	"math/rand/v2"
	"net/url"
	"slices"

	"shoal/internal/release"
)

// self is this edge's name in the cluster.
func (e *Edge) self() string { return e.cfg.Cluster.Name }

// members are those of the cluster; nil: there is none.
func (e *Edge) members() []Member {
	if e.ring == nil {
		return nil
	}
	return e.ring.everybody()
}

// holders are the owners of a content, and who has it. They are told whether somebody waits for it here.
func (e *Edge) holders(ctx context.Context, key string, wanted bool) (own []Member, have map[string]holding) {
	if e.ring == nil {
		return nil, nil
	}
	return e.ring.of(key), e.ring.ask(ctx, key, wanted)
}

// fetchedElsewhere says whether another edge is at a content too.
func (e *Edge) fetchedElsewhere(ctx context.Context, key string) bool {
	if e.ring == nil {
		return false
	}
	for _, x := range e.ring.asker.lately(ctx, e.ring.peers(""), key) {
		if x.holding == holdsFetching {
			return true
		}
	}
	return false
}

// leads says whether it is for this edge to get a content from its origin, for all.
func (e *Edge) leads(key string) bool {
	if e.ring == nil {
		return true
	}
	own := e.ring.of(key)
	return len(own) == 0 || own[0].Name == e.self()
}

// Holds says how far a content is here, for the other edges; query is their question's, see HoldsPath.
func (e *Edge) Holds(key string, query url.Values) string {
	k, _, _ := e.find(key)
	if k != nil && query.Has(wantedQuery) {
		e.mu.Lock()
		keeps := e.toBeHere(key)
		e.mu.Unlock()
		if h, _ := e.shelf.get(key); keeps && !h.whole {
			e.want(k, true)
		}
	}
	if h, ok := e.shelf.get(key); ok && h.whole && !h.dropped {
		return string(holdsWhole)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.contents[key]; c != nil {
		if t, _, err := c.state(); t != nil && err == nil {
			return string(holdsFetching)
		}
	}
	if e.lacking[key] != nil {
		return string(holdsFull)
	}
	if k != nil && e.keeps(k) {
		return string(holdsSoon)
	}
	return string(holdsNone)
}

// elsewhere are the other edges as places to read a repository from, when its origin does not answer.
func (e *Edge) elsewhere(f *feed) (list []release.Files) {
	id := f.repository.id.Load()
	if e.ring == nil || id == nil {
		return nil
	}
	for _, m := range e.ring.peers(*id) {
		list = append(list, e.memberUpstream(m, *id))
	}
	return list
}

// maxSpares is how many other edges clients are told of, to go on there when this one dies.
const maxSpares = 3

// duplicates are the URLs of a signed file of an origin at other edges, those of the same zone first and else in any order, and at the origin itself. An
// edge that is draining is none. secure says that who asks speaks TLS.
func (e *Edge) duplicates(f *feed, id, file string, secure bool) (urls []string) {
	var others []Member
	for _, m := range e.members() {
		if m.Name != e.self() && !m.Draining {
			others = append(others, m)
		}
	}
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] }) // or all would go to the same one
	far := func(m Member) int {
		if m.Zone == e.cfg.Cluster.Zone {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(others, func(a, b Member) int { return far(a) - far(b) })
	for _, m := range others[:min(len(others), maxSpares)] {
		urls = append(urls, m.forClients("/"+id+"/"+file, secure))
	}
	return append(urls, withoutUser(f.url).JoinPath(file).String())
}

// withoutUser is a URL for others: what the edge shows its origin to be let in is nobody's else.
func withoutUser(u *url.URL) *url.URL {
	c := *u
	c.User = nil
	return &c
}
