package deliver

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"shoal/internal/release"
	"shoal/piece"
	"shoal/swarm"
)

// A release can come by several ways, which all end in the same verified files:
const (
	WayTree    = "tree"    // T: its own files, by piece, but for those that are here
	WayArchive = "archive" // F: one compressed archive of it
	WayPatch   = "patch"   // P: what has changed since a version that is here
)

// Candidate is one way, and what it would cost.
type Candidate struct {
	Way   string
	From  string        // of a patch: the version
	Fetch int64         // bytes to be fetched, metainfo included
	Reuse int64         // bytes of the release that are here, in files or pieces
	Cost  time.Duration // an estimate, to compare with others: see price
	Why   string        // the reckoning in words
	Err   string        // why it was tried and given up; else ""
	Short int64         // of one that was given up and has made some of the release: bytes that were not here then

	artefact *release.Artefact
	old      *version
}

// Plan is how a release is brought here.
type Plan struct {
	Name       string
	Bytes      int64       // of the release
	Candidates []Candidate // the cheapest first; those that were given up last
}

// Chosen is the cheapest way that was not given up.
func (p *Plan) Chosen() *Candidate { return &p.Candidates[0] }

// survey is all that a decision rests on.
type survey struct {
	release  *release.Found
	patches  []release.Artefact
	versions []*version
	tree     *piece.Torrent // nil: its metainfo is not here
	source   swarm.Class    // of what is fetched, as far as it is known
	carried  bool           // in a bundle, which has nothing but the tree
	dir      string
	parts    int64              // bytes that were put together in this run; -1: nothing was tried
	left     *swarm.Left        // what a former run has verified of the tree; nil: its metainfo is not here
	placed   []int64            // by file: how many bytes lie where the release goes to
	failed   map[string]failure // ways that were tried, by key
	blocks   *blockSearch       // what its index of blocks has led to; nil: it was not looked at

	artefactDir func(v2 string) string    // where an archive or a patch is fetched to
	begun       map[string]*piece.Torrent // those of which a former run has left something, by v2 info hash
}

// failure is that a way was given up.
type failure struct {
	err   error
	short int64 // as Candidate.Short
}

func key(way, from string) string { return way + " " + from }

// plan compares the ways.
func (s *survey) plan() *Plan {
	tree := s.release.Tree()
	p := &Plan{Name: tree.Name, Bytes: tree.Bytes}
	p.Candidates = append(p.Candidates, s.byTree())
	if a := s.release.Archive(); a != nil && !s.carried {
		fetch, why := s.artefact(a)
		p.Candidates = append(p.Candidates, Candidate{Way: WayArchive, Fetch: fetch, artefact: a,
			Cost: price(s.source, fetch, tree.Bytes, true) + torrentTime, Why: fmt.Sprintf("an archive of %d bytes", a.Bytes) + why})
	}
	for i := range s.patches {
		if c, ok := s.byPatch(&s.patches[i]); ok && !s.carried {
			p.Candidates = append(p.Candidates, c)
		}
	}
	for i := range p.Candidates {
		p.Candidates[i].Why += "; from " + sourceName(s.source)
		if f, ok := s.failed[key(p.Candidates[i].Way, p.Candidates[i].From)]; ok {
			p.Candidates[i].Err, p.Candidates[i].Short = f.err.Error(), f.short
		}
	}
	slices.SortStableFunc(p.Candidates, func(a, b Candidate) int {
		if (a.Err == "") != (b.Err == "") {
			return cmp.Compare(len(a.Err), len(b.Err))
		}
		return cmp.Compare(a.Cost, b.Cost)
	})
	return p
}

// metainfo is how many bytes the tree's description costs.
func (s *survey) metainfo() int64 {
	if s.tree != nil {
		return 0
	}
	return s.release.MetainfoBytes()
}

// byTree is what the tree itself would cost: what no older version and no former run has.
func (s *survey) byTree() Candidate {
	tree := s.release.Tree()
	c := Candidate{Way: WayTree}
	switch {
	case s.tree == nil:
		c.Why = "its description is not here"
	case s.parts >= 0:
		c.Reuse, c.Why = s.parts, "what is here already"
	default:
		c.Reuse, c.Why = s.here()
	}
	c.Reuse = min(c.Reuse, tree.Bytes)
	c.Fetch = tree.Bytes - c.Reuse + s.metainfo()
	c.Cost = price(s.source, c.Fetch, tree.Bytes, false)
	return c
}

// byPatch is what a patch would cost, if the version that it begins with is here.
func (s *survey) byPatch(a *release.Artefact) (c Candidate, ok bool) {
	var old *version // the one of which most is here
	for _, v := range s.versions {
		if v.v2() == a.Base && (old == nil || v.here > old.here) {
			old = v
		}
	}
	if a.Kind != "P" || old == nil {
		return c, false
	}
	tree := s.release.Tree()
	c = Candidate{Way: WayPatch, From: a.From, artefact: a, old: old, Reuse: min(old.here, tree.Bytes)}
	c.Fetch, c.Why = a.Bytes, fmt.Sprintf("a patch of %d bytes", a.Bytes)
	if !a.IsTarget() {
		fetch, why := s.artefact(a)
		c.Fetch, c.Why, c.Cost = fetch, c.Why+why, torrentTime
	}
	if lost := old.info.Length - old.here; lost > 0 { // what is built from it will be wrong, and is fetched from the tree
		c.Fetch += lost + s.metainfo()
		c.Why += fmt.Sprintf("; %d bytes of %s are gone or changed", lost, a.From)
	}
	c.Cost += price(s.source, c.Fetch, tree.Bytes, true)
	return c, true
}

func parseV2(text string) (h piece.Hash32, err error) {
	b, err := hex.DecodeString(text)
	if err == nil && len(b) != len(h) {
		err = fmt.Errorf("%q is no info hash", text)
	}
	copy(h[:], b)
	return h, err
}
