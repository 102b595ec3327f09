package piece

import (
	"fmt"
	"io"
)

// LayerFrom computes file i's piece layer from the flat file of leaf hashes (see FirstLeaf). SetLayer tells whether it is right.
func (in *Info) LayerFrom(i int, leaves io.ReaderAt) ([]byte, error) {
	first, end := in.FilePieces(i)
	layer := make([]byte, 0, 32*(end-first))
	for p := first; p < end; p++ {
		raw := make([]byte, 32*in.LeafCount(p))
		if n, err := leaves.ReadAt(raw, in.FirstLeaf(p)*32); n < len(raw) {
			return nil, fmt.Errorf("reading leaves of piece %d: %w", p, err)
		}
		nodes := make([]Hash32, 0, len(raw)/32)
		for ; len(raw) > 0; raw = raw[32:] {
			nodes = append(nodes, Hash32(raw))
		}
		root := rootOf(nodes, in.pieceHeight(), 0)
		layer = append(layer, root[:]...)
	}
	return layer, nil
}
