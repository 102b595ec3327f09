package deliver

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
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
	parts    int64            // bytes that a former run has verified, or put together in this one; -1: not known
	failed   map[string]error // ways that were tried, by key
	blocks   *blockSearch     // what its index of blocks has led to; nil: it was not looked at

	artefactDir func(v2 string) string // where an archive or a patch is fetched to
}

func key(way, from string) string { return way + " " + from }

// plan compares the ways.
func (s *survey) plan() *Plan {
	tree := s.release.Tree()
	p := &Plan{Name: tree.Name, Bytes: tree.Bytes}
	p.Candidates = append(p.Candidates, s.byTree())
	if a := s.release.Archive(); a != nil && !s.carried {
		fetch := a.Bytes + a.Metainfo - s.staged(a)
		p.Candidates = append(p.Candidates, Candidate{Way: WayArchive, Fetch: max(0, fetch), artefact: a,
			Cost: price(s.source, fetch, tree.Bytes, true) + torrentTime, Why: fmt.Sprintf("an archive of %d bytes", a.Bytes)})
	}
	for i := range s.patches {
		if c, ok := s.byPatch(&s.patches[i]); ok && !s.carried {
			p.Candidates = append(p.Candidates, c)
		}
	}
	for i := range p.Candidates {
		p.Candidates[i].Why += "; from " + sourceName(s.source)
		if err := s.failed[key(p.Candidates[i].Way, p.Candidates[i].From)]; err != nil {
			p.Candidates[i].Err = err.Error()
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
		c.Reuse = s.inPlace()
		c.Why = "files in place"
		if c.Reuse == 0 {
			found := s.blocks != nil && s.blocks.err == nil
			for i, n := range reusable(s.tree.Info, s.versions) {
				if found {
					n = max(n, s.blocks.here[i])
				}
				c.Reuse += n
			}
			what := "files and pieces"
			if found {
				what = "files and blocks of 16 KiB"
			}
			c.Why = fmt.Sprintf("equal %s of %d older versions", what, len(s.versions))
		}
		// Beside older versions a part file may be one of theirs, copied for a few of its pieces: then how long it is tells nothing.
		if n := swarm.Staged(s.dir, mustV2(tree)); n > c.Reuse && len(s.versions) == 0 {
			c.Reuse, c.Why = n, "what a former run has left"
		}
	}
	c.Reuse = min(c.Reuse, tree.Bytes)
	c.Fetch = tree.Bytes - c.Reuse + s.metainfo()
	c.Cost = price(s.source, c.Fetch, tree.Bytes, false)
	return c
}

// byPatch is what a patch would cost, if the version that it begins with is here.
func (s *survey) byPatch(a *release.Artefact) (c Candidate, ok bool) {
	i := slices.IndexFunc(s.versions, func(v *version) bool { return v.v2() == a.Base })
	if a.Kind != "P" || i < 0 {
		return c, false
	}
	old := s.versions[i]
	tree := s.release.Tree()
	c = Candidate{Way: WayPatch, From: a.From, artefact: a, old: old, Reuse: min(old.here, tree.Bytes)}
	c.Fetch = a.Bytes
	if !a.IsTarget() {
		c.Fetch += a.Metainfo - s.staged(a)
		c.Cost = torrentTime
	}
	c.Why = fmt.Sprintf("a patch of %d bytes", a.Bytes)
	if lost := old.info.Length - old.here; lost > 0 { // what is built from it will be wrong, and is fetched from the tree
		c.Fetch += lost + s.metainfo()
		c.Why += fmt.Sprintf("; %d bytes of %s are missing", lost, a.From)
	}
	c.Fetch = max(0, c.Fetch)
	c.Cost += price(s.source, c.Fetch, tree.Bytes, true)
	return c, true
}

// staged is what a former run has left of an artefact.
func (s *survey) staged(a *release.Artefact) int64 {
	v2, err := parseV2(a.V2)
	if err != nil {
		return 0
	}
	dir := s.artefactDir(a.V2)
	if fi, err := os.Stat(filepath.Join(dir, a.Name)); err == nil && dir != s.dir && fi.Size() == a.Bytes {
		return a.Bytes
	}
	return min(swarm.Staged(dir, v2), a.Bytes)
}

func parseV2(text string) (h piece.Hash32, err error) {
	b, err := hex.DecodeString(text)
	if err == nil && len(b) != len(h) {
		err = fmt.Errorf("%q is no info hash", text)
	}
	copy(h[:], b)
	return h, err
}

// inPlace is how many bytes lie where the release goes to, in files of the right length.
func (s *survey) inPlace() int64 {
	v := version{info: s.tree.Info, path: filepath.Join(s.dir, s.tree.Name)}
	v.look()
	return v.here
}

// reusable says for each file of a tree how many bytes of it older versions have: all, if one has a file with its root under any name; else those of
// its pieces that the file of its name has in the same place.
func reusable(in *piece.Info, versions []*version) []int64 {
	list := make([]int64, len(in.Files))
	for i := range in.Files {
		for _, v := range versions {
			if _, ok := v.info.FileByRoot(in.Files[i].Root); ok && in.Files[i].Length > 0 {
				list[i] = in.Files[i].Length
				break
			}
			list[i] = max(list[i], samePieces(in, i, v))
		}
	}
	return list
}

// samePieces is how many bytes of file i are equal, by piece, to those of the version's file of the same path.
func samePieces(in *piece.Info, i int, v *version) (n int64) {
	j := v.fileAt(in, i)
	if j < 0 || v.info.PieceLength != in.PieceLength {
		return 0
	}
	first, end := in.FilePieces(i)
	from, to := v.info.FilePieces(j)
	for p := 0; p < min(end-first, to-from); p++ {
		a, known := in.PieceRoot(first + p)
		b, also := v.info.PieceRoot(from + p)
		if known && also && a == b {
			n += in.PieceLen(first + p)
		}
	}
	return n
}

// fileAt is the version's file at the path of file i of another tree; -1: none. Of single files it is the one.
func (v *version) fileAt(in *piece.Info, i int) int {
	if in.Dir != v.info.Dir {
		return -1
	}
	v.once.Do(func() {
		v.paths = make(map[string]int, len(v.info.Files))
		for j := range v.info.Files {
			v.paths[filepath.Join(v.info.Files[j].Path...)] = j
		}
	})
	if j, ok := v.paths[filepath.Join(in.Files[i].Path...)]; ok && v.info.Files[j].Length > 0 {
		return j
	}
	return -1
}
