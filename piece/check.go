package piece

import (
	"crypto/sha1"
	"fmt"
)

// PieceHashV1 is the SHA-1 of piece p; only if HasV1.
func (in *Info) PieceHashV1(p int) Hash20 { return Hash20(in.hashes[p*20 : p*20+20]) }

// CheckV1 reports whether data, PieceLenV1(p) bytes with gaps as zeros, is piece p.
func (in *Info) CheckV1(p int, data []byte) bool {
	return int64(len(data)) == in.PieceLenV1(p) && sha1.Sum(data) == in.PieceHashV1(p)
}

// needsLayer reports whether file i is longer than a piece, so that its root is not the hash of its only piece.
func (in *Info) needsLayer(i int) bool { return in.Files[i].Length > in.PieceLength }

// pieceHeight is the layer of the tree whose nodes stand for whole pieces.
func (in *Info) pieceHeight() int { return heightFor(in.PieceLength / BlockSize) }

// PieceRoot is the BEP 52 hash of piece p; v2 and hybrid. It is not ok while the layer it stands in is not known.
func (in *Info) PieceRoot(p int) (root Hash32, ok bool) {
	i := in.FileOfPiece(p)
	if !in.needsLayer(i) {
		return in.Files[i].Root, true
	}
	layer := in.Layer(i)
	if layer == nil {
		return root, false
	}
	first, _ := in.FilePieces(i)
	return Hash32(layer[(p-first)*32:]), true
}

// LeafCount is how many leaves piece p has; v2 and hybrid.
func (in *Info) LeafCount(p int) int { return int(leavesIn(in.PieceLen(p))) }

// FirstLeaf is the index of piece p's first leaf in a flat file of all leaves, in which each piece has its full room.
func (in *Info) FirstLeaf(p int) int64 { return int64(p) * (in.PieceLength / BlockSize) }

// CheckLeaves reports whether these are the LeafCount(p) leaves of piece p. It is false while PieceRoot is not known.
func (in *Info) CheckLeaves(p int, leaves []Hash32) bool {
	root, ok := in.PieceRoot(p)
	return ok && len(leaves) == in.LeafCount(p) && rootOf(leaves, in.rootHeight(in.FileOfPiece(p)), 0) == root
}

// rootHeight is the height of the tree that one piece of file i has: a file within one piece is padded only to the next power of two.
func (in *Info) rootHeight(i int) int {
	if in.needsLayer(i) {
		return in.pieceHeight()
	}
	return heightFor(leavesIn(in.Files[i].Length))
}

// HasLayers reports whether every piece layer is known; true for v1.
func (in *Info) HasLayers() bool { return in.hashesV2.missing.Load() == 0 }

// Layer is file i's piece layer, 32 bytes for each of its pieces; nil if it is unknown, or not needed because the file fits into one piece.
func (in *Info) Layer(i int) []byte {
	if !in.HasV2 {
		return nil
	}
	if layer := in.hashesV2.known[i].Load(); layer != nil {
		return *layer
	}
	return nil
}

// SetLayer checks a piece layer against file i's root and keeps it, for every file with that root. The slice is kept and must not change.
// A layer that does not match is ErrCorrupt.
func (in *Info) SetLayer(i int, layer []byte) error {
	if !in.HasV2 || !in.needsLayer(i) {
		return fmt.Errorf("file %d needs no piece layer: %w", i, ErrCorrupt)
	}
	f := &in.Files[i]
	first, end := in.FilePieces(i)
	if len(layer) != (end-first)*32 {
		return fmt.Errorf("piece layer of %q has %d bytes, not %d: %w", f.Name(in), len(layer), (end-first)*32, ErrCorrupt)
	}
	if layerRoot(layer, in.pieceHeight()) != f.Root {
		return fmt.Errorf("piece layer of %q: %w", f.Name(in), ErrCorrupt)
	}
	for _, twin := range in.filesByRoot(f.Root) {
		if in.Files[twin].Length == f.Length && in.hashesV2.known[twin].CompareAndSwap(nil, &layer) {
			in.hashesV2.missing.Add(-1)
		}
	}
	return nil
}
