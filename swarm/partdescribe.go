package swarm

import (
	"context"
	"fmt"

	"shoal/piece"
)

// Describe takes the piece layers of a description that came only when something was written already. Until then nobody could tell what is right of a file that is not
// right as a whole: its pieces are hashed where they lie, and those that are right count. Nothing may be written meanwhile.
func (p *Parts) Describe(ctx context.Context, in *piece.Info) error {
	info := p.store.info
	if in.V2 != info.V2 {
		return fmt.Errorf("the description of %s is that of another content: %w", info.Name, piece.ErrCorrupt)
	}
	for i := range info.Files {
		if layer := in.Layer(i); layer != nil && info.Layer(i) == nil {
			if err := info.SetLayer(i, layer); err != nil {
				return err
			}
		}
	}
	var pieces []int
	for k := range info.NumPieces() {
		if _, known := info.PieceRoot(k); known && p.isSuspect(k) && !p.HasPiece(k) {
			pieces = append(pieces, k)
		}
	}
	good, err := p.check(ctx, pieces, func(int64) {})
	if err != nil {
		return err
	}
	return p.recordGood(0, info.NumPieces(), &good)
}
