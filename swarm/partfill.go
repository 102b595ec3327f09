package swarm

import (
	"context"
	"fmt"

	"shoal/piece"
)

// Fill puts blocks of 16 KiB into a file of which only some are here, and tells the transfer which hashes all of them have, so that it fetches the others alone. leaves
// are those of the file, and are held against its root first (piece.ErrCorrupt); read fills b with a block, and says false if it has none. A block that
// is not what its leaf says is left out. Nothing counts before the transfer has hashed it where it lies.
func (p *Parts) Fill(ctx context.Context, file int, leaves []piece.Hash32, read func(block int, b []byte) bool) error {
	info := p.store.info
	f := &info.Files[file]
	first, end := info.FilePieces(file)
	perPiece := int(info.PieceLength / piece.BlockSize)
	for i := first; i < end; i++ {
		at := (i - first) * perPiece
		if at+info.LeafCount(i) > len(leaves) || !info.CheckLeaves(i, leaves[at:at+info.LeafCount(i)]) {
			return fmt.Errorf("hashes of the blocks of %s: %w", f.Name(info), piece.ErrCorrupt)
		}
	}
	buf := make([]byte, piece.BlockSize)
	for i := first; i < end; i++ {
		if p.HasPiece(i) {
			continue
		}
		at := (i - first) * perPiece
		some := false
		for b := at; b < at+info.LeafCount(i); b++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			from := int64(b) * piece.BlockSize
			buf := buf[:min(piece.BlockSize, f.Length-from)]
			if !read(b, buf) || piece.AppendLeaves(nil, buf)[0] != leaves[b] {
				continue
			}
			if err := p.store.write(buf, f.Offset+from); err != nil {
				return err
			}
			some = true
		}
		if !some {
			continue
		}
		p.leaves.put(info.FirstLeaf(i), leaves[at:at+info.LeafCount(i)])
		if err := p.record(i, false, false); err != nil {
			return err
		}
	}
	return p.store.extend(file)
}
