package cli

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/updater"
	"shoal/piece"
	"shoal/swarm"
)

// repairHere repairs what get has put somewhere without asking anybody, if all that is bad of it lies elsewhere on this machine. Else nothing is done.
func (e *env) repairHere(ctx context.Context, t *piece.Torrent, path, stateDir string, found *piece.Report) (done bool, err error) {
	if stateDir == "" || !t.HasV2 {
		return false, nil
	}
	begin := time.Now()
	from := besides(stateDir, t, path)
	if !updater.HasAll(t.Info, found.BadPieces, from) {
		return false, nil
	}
	dir := filepath.Dir(path)
	begun := swarm.Staged(dir, t.V2) > 0
	if done, err = updater.FromHere(ctx, t.Info, dir, from, e.reading("reading what lies here of "+t.Name)); err != nil {
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

// maxBesides bounds how many neighbours are looked at.
const maxBesides = 64

// besides is what the state directory knows that may have some of a content: the same elsewhere, and what lies beside it.
func besides(stateDir string, t *piece.Torrent, path string) (list []updater.Lying) {
	if k := deliver.KnownRelease(stateDir, "", t.Key()); k != nil && k.Path != path {
		list = append(list, updater.Lying{Info: k.Torrent.Info, Path: k.Path})
	}
	dir := filepath.Dir(path)
	inside, err := os.ReadDir(dir)
	if err != nil {
		return list
	}
	for _, e := range inside[:min(len(inside), maxBesides)] {
		at := filepath.Join(dir, e.Name())
		if at == path {
			continue
		}
		if k, err := deliver.KnownAt(stateDir, at); err == nil && k.Path == at {
			list = append(list, updater.Lying{Info: k.Torrent.Info, Path: at})
		}
	}
	return list
}
