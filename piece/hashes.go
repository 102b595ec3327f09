package piece

import (
	"fmt"
	"io"
	"math/bits"
)

// maxHashes is how many hashes one request may ask for. libtorrent's bound; BEP 52 says "should not exceed 512", so that is what we ask for.
const (
	maxHashes = 8192
	askHashes = 512
)

// A HashRequest asks for Length nodes of a file's tree, from Index on in the layer Base (0: leaves), with the hashes that prove them: one from each
// layer that cannot be computed from those before, up to Proof layers above the base. BEP 52, "hash request"; the same fields head the answer.
type HashRequest struct {
	Base, Index, Length, Proof int
}

// height is the height of file i's tree.
func (in *Info) height(i int) int {
	if !in.needsLayer(i) {
		return in.rootHeight(i)
	}
	first, end := in.FilePieces(i)
	return in.pieceHeight() + heightFor(int64(end-first))
}

// uncles is how many proof hashes an answer holds.
func (q HashRequest) uncles() int { return max(0, q.Proof-heightFor(int64(q.Length))+1) }

// top is the layer of the node that an answer proves itself against.
func (q HashRequest) top() int { return q.Base + heightFor(int64(q.Length)) + q.uncles() }

// checkRequest refuses what does not fit file i's tree.
func (in *Info) checkRequest(i int, q HashRequest) error {
	if !in.HasV2 || i < 0 || i >= len(in.Files) || in.Files[i].Length == 0 {
		return fmt.Errorf("hash request: file %d has no tree", i)
	}
	height := in.height(i)
	if q.Length < 1 || q.Length > maxHashes || bits.OnesCount(uint(q.Length)) != 1 ||
		q.Base < 0 || q.Base >= height || q.Index < 0 || q.Index%q.Length != 0 || q.Index > 1<<(height-q.Base)-q.Length ||
		q.Proof < 0 || q.Proof >= height-q.Base {
		return fmt.Errorf("hash request %+v does not fit a tree of height %d", q, height)
	}
	return nil
}

// LeafRequests are the requests for the leaves of piece p, with proof up to its PieceRoot, or up to the root of its file while that is not known.
// There is none for a piece that is a leaf itself.
func (in *Info) LeafRequests(p int) []HashRequest {
	i := in.FileOfPiece(p)
	top := in.rootHeight(i)
	if top == 0 {
		return nil
	}
	first, _ := in.FilePieces(i)
	start := (p - first) << top
	if _, ok := in.PieceRoot(p); !ok {
		top = in.height(i)
	}
	return requests(0, start, in.LeafCount(p), 1<<in.rootHeight(i), top)
}

// LayerRequests are the requests for file i's piece layer. There is none for a file that needs no layer.
func (in *Info) LayerRequests(i int) []HashRequest {
	if !in.HasV2 || !in.needsLayer(i) {
		return nil
	}
	first, end := in.FilePieces(i)
	base, height := in.pieceHeight(), in.height(i)
	return requests(base, 0, end-first, 1<<(height-base), height)
}

// requests asks for the first n of room nodes from start on in layer base, proved by a node in layer top.
func requests(base, start, n, room, top int) (qs []HashRequest) {
	length := min(askHashes, room)
	for at := 0; at < n; at += length {
		qs = append(qs, HashRequest{Base: base, Index: start + at, Length: length, Proof: max(0, top-base-1)})
	}
	return qs
}

// Hashes answers a request for file i: the nodes asked for, then the proof. leaves is the flat file of leaf hashes (see FirstLeaf); it may be nil, and
// what it holds is believed only if it gives the hash of its piece. An error means that the answer is a hash reject.
func (in *Info) Hashes(i int, q HashRequest, leaves io.ReaderAt) ([]Hash32, error) {
	if err := in.checkRequest(i, q); err != nil {
		return nil, err
	}
	t := fileTree{in: in, file: i, from: leaves, cached: -1}
	t.first, t.end = in.FilePieces(i)
	out := make([]Hash32, 0, q.Length+q.uncles())
	for n := range q.Length {
		node, err := t.node(q.Base, q.Index+n)
		if err != nil {
			return nil, err
		}
		out = append(out, node)
	}
	for layer := q.top() - q.uncles(); layer < q.top(); layer++ {
		node, err := t.node(layer, q.Index>>(layer-q.Base)^1)
		if err != nil {
			return nil, err
		}
		out = append(out, node)
	}
	return out, nil
}

// CheckHashes checks an answer to request q for file i, against the file's root or its piece layer, and returns the nodes asked for, without those that
// stand behind the file's end. Leaves go to CheckLeaves or a flat file, a layer to SetLayer. Hashes that prove nothing are ErrCorrupt.
func (in *Info) CheckHashes(i int, q HashRequest, hashes []Hash32) ([]Hash32, error) {
	if err := in.checkRequest(i, q); err != nil {
		return nil, err
	}
	if len(hashes) != q.Length+q.uncles() {
		return nil, fmt.Errorf("%d hashes, not %d: %w", len(hashes), q.Length+q.uncles(), ErrCorrupt)
	}
	node := rootOf(hashes[:q.Length], heightFor(int64(q.Length)), q.Base)
	at := q.Index / q.Length
	for _, uncle := range hashes[q.Length:] {
		if at&1 == 0 {
			node = parent(&node, &uncle)
		} else {
			node = parent(&uncle, &node)
		}
		at >>= 1
	}
	t := fileTree{in: in, file: i, cached: -1}
	t.first, t.end = in.FilePieces(i)
	want, err := t.node(q.top(), at)
	if err != nil {
		return nil, err
	}
	if node != want {
		return nil, fmt.Errorf("hashes of %q: %w", in.Files[i].Name(in), ErrCorrupt)
	}
	real := t.nodes(q.Base) - q.Index
	return hashes[:max(0, min(real, q.Length))], nil
}

// A fileTree finds nodes of one file's tree.
type fileTree struct {
	in         *Info
	file       int
	first, end int         // its pieces
	from       io.ReaderAt // leaves
	cached     int         // the piece whose leaves are held
	leaves     []Hash32
}

// nodes is how many nodes a layer has, without those behind the file's end.
func (t *fileTree) nodes(layer int) int {
	n := leavesIn(t.in.Files[t.file].Length)
	return int((n + 1<<layer - 1) >> layer)
}

// node is a node of any layer.
func (t *fileTree) node(layer, at int) (node Hash32, err error) {
	if at >= t.nodes(layer) {
		return padHash[layer], nil
	}
	if layer == t.in.height(t.file) {
		return t.in.Files[t.file].Root, nil
	}
	if up := layer - t.in.pieceHeight(); up >= 0 && t.in.needsLayer(t.file) {
		hashes := t.in.Layer(t.file)
		if hashes == nil {
			return node, fmt.Errorf("piece layer of %q is not known", t.in.Files[t.file].Name(t.in))
		}
		var m merkle
		for n := at << up; n < min((at+1)<<up, t.end-t.first); n++ {
			m.add(Hash32(hashes[n*32:]))
		}
		return m.root(up, t.in.pieceHeight()), nil
	}
	height := t.in.rootHeight(t.file)
	if err := t.load(t.first + at<<layer>>height); err != nil {
		return node, err
	}
	start := at << layer & (1<<height - 1)
	return rootOf(t.leaves[start:min(start+1<<layer, len(t.leaves))], layer, 0), nil
}

// load reads and checks the leaves of piece p.
func (t *fileTree) load(p int) error {
	if t.cached == p {
		return nil
	}
	if t.from == nil {
		return fmt.Errorf("leaves are not kept")
	}
	raw := make([]byte, t.in.LeafCount(p)*32)
	if n, err := t.from.ReadAt(raw, t.in.FirstLeaf(p)*32); n < len(raw) {
		return fmt.Errorf("reading leaves: %w", err)
	}
	t.leaves = t.leaves[:0]
	for ; len(raw) > 0; raw = raw[32:] {
		t.leaves = append(t.leaves, Hash32(raw))
	}
	if !t.in.CheckLeaves(p, t.leaves) {
		t.cached = -1
		return fmt.Errorf("leaves of piece %d: %w", p, ErrCorrupt)
	}
	t.cached = p
	return nil
}
