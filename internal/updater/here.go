package updater

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"shoal/internal/deliver"
	"shoal/piece"
	"shoal/swarm"
)

// Content whose description is known here is put together without asking anybody, as far as it lies on this machine. Whatever has given a byte of it, the description's
// hashes decide.

// Lying is content that lies on this machine, and may have some of another one.
type Lying struct {
	Info *piece.Info // what it is, or was before it was damaged
	Path string      // of the tree, or of the file
}

// FromHere brings content to dir, under its name, of what stands there already and what lies elsewhere on this machine. ok is false if that is not all of it: what there is
// of it waits in dir for who fetches the rest. progress, which may be nil, is told how many bytes were looked at, from many goroutines.
func FromHere(ctx context.Context, info *piece.Info, dir string, from []Lying, progress func(done, total int64)) (ok bool, err error) {
	if !info.HasV2 {
		return false, nil
	}
	node := swarm.New(swarm.Config{})
	missing, err := gather(ctx, node, info, dir, from, progress)
	if err != nil || missing > 0 {
		return false, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var g errgroup.Group
	g.Go(func() error { return node.Run(running) })
	defer func() {
		stop()
		err = errors.Join(err, g.Wait())
	}()
	t, err := deliver.Fetch(ctx, node, deliver.Request{Found: deliver.Found{Torrent: &piece.Torrent{Info: info}}, Dir: dir})
	if errors.Is(err, deliver.ErrNoSource) { // something has changed since
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, t.Close()
}

// gather has the place of a fetch into dir hold what those places have of its content, and says how many bytes are missing.
func gather(ctx context.Context, node *swarm.Node, info *piece.Info, dir string, from []Lying, progress func(done, total int64)) (missing int64, err error) {
	parts, err := node.Parts(dir, info)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
	if progress == nil {
		progress = func(_, _ int64) {}
	}
	if err := parts.Adopt(ctx, func(done, _ int64) { progress(done, info.Length) }); err != nil {
		return 0, err
	}
	named := names(from)
	var done atomic.Int64
	done.Store(info.Length - parts.Missing())
	err = eachMissing(ctx, info, parts, func(ctx context.Context, i int) error {
		defer func() { progress(min(info.Length, done.Add(info.Files[i].Length)), info.Length) }()
		for _, old := range from { // as a whole, whatever it is called there
			for j := range old.equalFiles(&info.Files[i]) {
				if err := copyFrom(ctx, parts, i, old, j); err != nil || parts.Has(i) {
					return err
				}
			}
		}
		for k, old := range from { // some of its pieces
			if j := old.sameFile(info, i, named[k]); j >= 0 && old.hasMissing(info, i, j, parts) {
				if err := copyFrom(ctx, parts, i, old, j); err != nil || parts.Has(i) {
					return err
				}
			}
		}
		return nil
	})
	return parts.Missing(), err
}

// eachMissing does something for each file of which not all is here, for several at a time.
func eachMissing(ctx context.Context, info *piece.Info, parts *swarm.Parts, do func(ctx context.Context, file int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range info.Files {
		if f := &info.Files[i]; f.Length > 0 && f.Symlink == nil && !parts.Has(i) {
			g.Go(func() error { return do(ctx, i) })
		}
	}
	return g.Wait()
}

// copyFrom copies file j of old content into the place of file i. That it cannot be read is no error.
func copyFrom(ctx context.Context, parts *swarm.Parts, i int, old Lying, j int) error {
	f, err := openRegular(deliver.FileOf(old.Info, old.Path, j))
	if err != nil {
		return nil
	}
	defer f.Close()
	return parts.Copy(ctx, i, f)
}

// openRegular opens a file that is one: others may not even answer.
func openRegular(path string) (*os.File, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, os.ErrInvalid
	}
	return os.Open(path)
}

// equalFiles are the files that have, or had, what a file of another content has.
func (l *Lying) equalFiles(f *piece.File) iter.Seq[int] {
	return func(yield func(int) bool) {
		first, ok := l.Info.FileByRoot(f.Root)
		if !ok || !yield(first) {
			return
		}
		for j := range l.Info.Files { // the first may be damaged
			if o := &l.Info.Files[j]; j != first && o.Length == f.Length && o.Root == f.Root && !yield(j) {
				return
			}
		}
	}
}

// names are the files of each place by their paths, but for those that have no content.
func names(from []Lying) []map[string]int {
	list := make([]map[string]int, len(from))
	for k := range from {
		list[k] = make(map[string]int, len(from[k].Info.Files))
		for j := range from[k].Info.Files {
			if f := &from[k].Info.Files[j]; f.Length > 0 && f.Symlink == nil {
				list[k][filepath.Join(f.Path...)] = j
			}
		}
	}
	return list
}

// sameFile is the file, by its own names, at the path of file i of another content; -1: none. Of single files it is the one.
func (l *Lying) sameFile(info *piece.Info, i int, named map[string]int) int {
	if l.Info.Dir != info.Dir || l.Info.PieceLength != info.PieceLength {
		return -1
	}
	if j, ok := named[filepath.Join(info.Files[i].Path...)]; ok {
		return j
	}
	return -1
}

// hasMissing says whether file j has a piece of file i of another content, in the same place, that parts lacks.
func (l *Lying) hasMissing(info *piece.Info, i, j int, parts *swarm.Parts) bool {
	first, end := info.FilePieces(i)
	for p := first; p < end; p++ {
		if !parts.HasPiece(p) && l.hasPiece(info, p-first, i, j) {
			return true
		}
	}
	return false
}

// hasPiece says whether the nth piece of file j is that of file i of another content.
func (l *Lying) hasPiece(info *piece.Info, n, i, j int) bool {
	first, _ := info.FilePieces(i)
	own, end := l.Info.FilePieces(j)
	if own+n >= end {
		return false
	}
	a, known := info.PieceRoot(first + n)
	b, also := l.Info.PieceRoot(own + n)
	return known && also && a == b
}

// HasAll says whether those places have, by their descriptions, all pieces that are named of a content.
func HasAll(info *piece.Info, pieces []int, from []Lying) bool {
	named := names(from)
	for _, p := range pieces {
		if !hasOne(info, p, from, named) {
			return false
		}
	}
	return true
}

func hasOne(info *piece.Info, p int, from []Lying, named []map[string]int) bool {
	i := info.FileOfPiece(p)
	first, _ := info.FilePieces(i)
	for k := range from {
		if _, ok := from[k].Info.FileByRoot(info.Files[i].Root); ok {
			return true
		}
		if j := from[k].sameFile(info, i, named[k]); j >= 0 && from[k].hasPiece(info, p-first, i, j) {
			return true
		}
	}
	return false
}
