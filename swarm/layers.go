package swarm

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// maxHashAsks is how many hashes of one peer may be unanswered.
const maxHashAsks = 4096

func specOf(root piece.Hash32, q piece.HashRequest) wire.HashSpec {
	return wire.HashSpec{Root: root, Base: uint32(q.Base), Index: uint32(q.Index), Length: uint32(q.Length), ProofLayers: uint32(q.Proof)}
}

// askHashes asks c for hashes; false if it cannot be asked, or was and has not answered yet.
func (c *conn) askHashes(h wire.HashSpec) bool {
	if len(c.hashAsks) >= maxHashAsks || c.hashAsks[h] {
		return false
	}
	c.hashAsks[h] = true
	c.out.put(func(b []byte) []byte { return wire.AppendHash(b, wire.HashRequest, h, nil) })
	return true
}

// fewBlocks is how many a piece has at most that is checked as a whole: question and answer would be 0.4 % of what
// machines of a crowd send.
const fewBlocks = 4

// askLeaves asks c for the leaves of a piece that it is about to be asked for, so that each block
// can be checked as it comes. A small piece has that only once it was wrong.
func (s *session) askLeaves(c *conn, op *openPiece) {
	n := op.blocks()
	if !c.v2 || op.leaves.Load() != nil || n < 2 || n <= fewBlocks && s.suspects[op.index] == nil {
		return
	}
	if root, q, ok := s.leafRequest(op.index); ok {
		c.askHashes(specOf(root, q))
	}
}

// leafRequest is the request for the leaves of piece p; none if its hash is not known, or if there
// are more than fit one request: then the piece is checked as a whole.
func (s *session) leafRequest(p int) (root piece.Hash32, q piece.HashRequest, ok bool) {
	if _, known := s.torrent.PieceRoot(p); !known {
		return root, q, false
	}
	qs := s.torrent.LeafRequests(p)
	if len(qs) != 1 {
		return root, q, false
	}
	return s.torrent.Files[s.torrent.FileOfPiece(p)].Root, qs[0], true
}

// tookHashes takes the answer to a hash request. Hashes that prove nothing convict the peer.
func (s *session) tookHashes(c *conn, h wire.HashSpec, flat []byte) error {
	if !c.hashAsks[h] {
		return errors.New("hashes that were not asked for")
	}
	delete(c.hashAsks, h)
	hashes := make([]piece.Hash32, len(flat)/32)
	for i := range hashes {
		hashes[i] = piece.Hash32(flat[32*i:])
	}
	q := piece.HashRequest{Base: int(h.Base), Index: int(h.Index), Length: int(h.Length), Proof: int(h.ProofLayers)}
	file, ok := s.torrent.FileByRoot(h.Root)
	if !ok {
		return nil
	}
	got, err := s.torrent.CheckHashes(file, q, hashes)
	if err != nil {
		s.t.counts.badBlocks.Add(1)
		s.book.ban(c, s.now())
		return fmt.Errorf("hashes: %w", err)
	}
	if s.layers.asks[h] {
		return s.tookLayer(c, h, file, q, got)
	}
	for _, op := range s.open { // equal pieces of equal files share leaves
		if op.leaves.Load() != nil || len(got) != op.blocks() || s.torrent.Files[s.torrent.FileOfPiece(op.index)].Root != h.Root {
			continue
		}
		if root, want, ok := s.leafRequest(op.index); ok && specOf(root, want) == h {
			op.leaves.Store(&got)
		}
	}
	return nil
}

// hashesRejected takes note that c will not answer.
func (s *session) hashesRejected(c *conn, h wire.HashSpec) {
	if !c.hashAsks[h] {
		return
	}
	delete(c.hashAsks, h)
	l := &s.layers
	if !l.asks[h] {
		return
	}
	l.load[c]--
	l.rest[c] = s.now().Add(refusedTime)
	if out, ok := l.out[h]; ok && out.c == c {
		delete(l.out, h)
		l.todo = append(l.todo, h)
		s.askLayers(s.now())
	}
}

const (
	layerAsks  = 8                      // requests for layers out at once to one peer
	layerTime  = 2 * time.Second        // then somebody else is asked
	layerGrace = 300 * time.Millisecond // for somebody to turn up who can be asked
)

// layerState collects the piece layers that a magnet's metadata comes without. Files are told
// apart by their roots: equal files share a layer.
type layerState struct {
	begun  time.Time
	coming bool // somebody is about to answer
	need   map[piece.Hash32]*layerFetch
	asks   map[wire.HashSpec]bool     // all requests for layers, ever
	todo   []wire.HashSpec            // to be asked
	out    map[wire.HashSpec]layerAsk // asked
	load   map[*conn]int              // how many of those
	rest   map[*conn]time.Time        // not asked before then: they said no
}

type layerAsk struct {
	c  *conn
	at time.Time
}

type layerFetch struct {
	file  int
	left  int
	parts map[piece.HashRequest][]piece.Hash32
}

// tickLayers asks for missing piece layers, and anew for what nobody has answered.
func (s *session) tickLayers(now time.Time) {
	if s.torrent.HasLayers() {
		return
	}
	l := &s.layers
	if l.need == nil {
		s.beginLayers(now)
	}
	late := len(l.todo)
	for h, a := range l.out {
		if a.c.gone || now.Sub(a.at) > layerTime {
			delete(l.out, h) // if a late answer comes it is welcome all the same
			l.rest[a.c] = now.Add(layerTime)
			l.todo = append(l.todo, h)
		}
	}
	slices.SortFunc(l.todo[late:], func(a, b wire.HashSpec) int { // not in the map's order, so that simulations are repeatable
		return cmp.Or(bytes.Compare(a.Root[:], b.Root[:]), cmp.Compare(b.Index, a.Index))
	})
	for c := range l.load {
		if c.gone {
			delete(l.load, c)
			delete(l.rest, c)
		}
	}
	s.askLayers(now)
	if coming := now.Sub(l.begun) < layerGrace || len(l.out) > 0 && now.Sub(l.begun) < 2*layerTime; coming != l.coming {
		l.coming = coming
		s.fillAll()
	}
}

func (s *session) beginLayers(now time.Time) {
	l := &s.layers
	*l = layerState{begun: now, coming: true, need: make(map[piece.Hash32]*layerFetch), asks: make(map[wire.HashSpec]bool),
		out: make(map[wire.HashSpec]layerAsk), load: make(map[*conn]int), rest: make(map[*conn]time.Time)}
	for i := range s.torrent.Files {
		root := s.torrent.Files[i].Root
		qs := s.torrent.LayerRequests(i)
		if len(qs) == 0 || s.torrent.Layer(i) != nil || l.need[root] != nil || !s.wantsFile(i) {
			continue
		}
		l.need[root] = &layerFetch{file: i, left: len(qs), parts: make(map[piece.HashRequest][]piece.Hash32)}
		for _, q := range qs {
			l.asks[specOf(root, q)] = true
			l.todo = append(l.todo, specOf(root, q))
		}
	}
	slices.Reverse(l.todo) // the last is asked first
}

// askLayers keeps each peer that can answer busy.
func (s *session) askLayers(now time.Time) {
	l := &s.layers
	for _, c := range s.layerers(now) {
		for i := len(l.todo) - 1; i >= 0 && l.load[c] < layerAsks; i-- {
			if h := l.todo[i]; c.askHashes(h) {
				l.todo = slices.Delete(l.todo, i, i+1)
				l.out[h] = layerAsk{c, now}
				l.load[c]++
			}
		}
	}
}

// layerers are those who can be asked. Origins are left alone where others can be, for a moment: these may not answer.
func (s *session) layerers(now time.Time) (list []*conn) {
	l, others := &s.layers, false
	for c := range s.around() {
		if !c.v2 || !c.introduced || c.have.set == 0 && !(c.shoal && c.hasDescription()) || l.load[c] >= layerAsks || now.Before(l.rest[c]) {
			continue
		}
		list = append(list, c)
		others = others || c.role != RoleOrigin
	}
	if others && now.Sub(l.begun) < layerGrace {
		list = slices.DeleteFunc(list, func(c *conn) bool { return c.role == RoleOrigin })
	}
	return list
}

// tookLayer takes hashes of a piece layer that are proven.
func (s *session) tookLayer(c *conn, h wire.HashSpec, file int, q piece.HashRequest, got []piece.Hash32) error {
	l := &s.layers
	if l.load[c] > 0 {
		l.load[c]--
	}
	if _, out := l.out[h]; out {
		delete(l.out, h)
	} else { // too late, and about to be asked of another
		l.todo = slices.DeleteFunc(l.todo, func(x wire.HashSpec) bool { return x == h })
	}
	f := l.need[h.Root]
	if f == nil || f.parts[q] != nil {
		return nil
	}
	f.parts[q] = got
	if f.left--; f.left == 0 {
		delete(l.need, h.Root)
		layer := make([]byte, 0, 32*len(got))
		for _, q := range s.torrent.LayerRequests(f.file) {
			for _, x := range f.parts[q] {
				layer = append(layer, x[:]...)
			}
		}
		if err := s.torrent.SetLayer(f.file, layer); err != nil {
			return err
		}
		s.tellDescribed()
		s.fillAll()
	}
	s.askLayers(s.now())
	return nil
}

// provable says whether piece p can be verified once it is here. A hybrid's waits a moment for
// the piece layers, with which each block can be.
func (s *session) provable(p int) bool {
	if s.torrent.HasV2 {
		if _, ok := s.torrent.PieceRoot(p); ok {
			return true
		}
	}
	return s.torrent.HasV1 && (!s.torrent.HasV2 || !s.layers.coming)
}

// checkRoots computes the roots of files whose piece layer never came: the SHA-256 tree decides,
// also where only v1 peers were there to fetch a hybrid from.
func checkRoots(info *piece.Info, wants func(i int) bool, leaves leafReader) error {
	if info.HasLayers() {
		return nil
	}
	for i := range info.Files {
		if !wants(i) || len(info.LayerRequests(i)) == 0 || info.Layer(i) != nil {
			continue
		}
		layer, err := info.LayerFrom(i, leaves)
		if err != nil {
			return fmt.Errorf("computing the tree of %s: %w", info.Files[i].Name(info), err)
		}
		if err := info.SetLayer(i, layer); err != nil {
			return fmt.Errorf("%s: %w", info.Files[i].Name(info), ErrInconsistent)
		}
	}
	return nil
}
