package cli

import (
	"context"
	"path/filepath"
	"time"

	"shoal/internal/deliver"
	"shoal/piece"
	"shoal/swarm"
)

// repairHere repairs what get has put somewhere without asking anybody, if all that is bad of it lies elsewhere on this machine. Else nothing is done.
func (e *env) repairHere(ctx context.Context, t *piece.Torrent, path, stateDir string, found *piece.Report) (done bool, err error) {
	if stateDir == "" || !t.HasV2 {
		return false, nil
	}
	begin := time.Now()
	from := deliver.Besides(stateDir, t, path)
	if !deliver.HasAll(t.Info, found.BadPieces, from) {
		return false, nil
	}
	dir := filepath.Dir(path)
	begun := swarm.Staged(dir, t.V2) > 0
	if done, err = deliver.FromHere(ctx, t.Info, dir, from, e.reading("reading what lies here of "+t.Name)); err != nil {
		return done, interruptible(err, "what is verified is kept: run it again to go on")
	}
	if !done && !begun { // they are not what they were: what comes of them now is not worth a place there
		return false, swarm.DropParts(dir, t.V2)
	}
	if done {
		e.report.Done(summary{Name: t.Name, Infohash: t.Key(), Bytes: t.Length, Seconds: seconds(time.Since(begin)), Efficiency: 1, From: FromBytes{Reuse: t.Length}, Way: deliver.WayTree, Saved: t.Length})
	}
	return done, nil
}
