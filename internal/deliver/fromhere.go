package deliver

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"shoal/internal/disk"
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

func versionsOf(from []Lying) []*version {
	list := make([]*version, len(from))
	for i, l := range from {
		list[i] = &version{info: l.Info, path: l.Path}
	}
	return list
}

// FromHere brings content to dir, under its name, of what stands there already and what lies elsewhere on this machine. ok is false if that is not all of it: what there is
// of it waits in dir for who fetches the rest. progress, which may be nil, is told how many bytes were looked at, from many goroutines.
func FromHere(ctx context.Context, info *piece.Info, dir string, from []Lying, progress func(done, total int64)) (ok bool, err error) {
	if !info.HasV2 {
		return false, nil
	}
	node := swarm.New(swarm.Config{})
	missing, err := gather(ctx, node, info, dir, versionsOf(from), progress)
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
	t, err := Fetch(ctx, node, Request{Found: Found{Torrent: &piece.Torrent{Info: info}}, Dir: dir})
	if errors.Is(err, ErrNoSource) { // something has changed since
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, t.Close()
}

// gather has the place of a fetch into dir hold what those versions have of its content, and says how many bytes are missing.
func gather(ctx context.Context, node *swarm.Node, info *piece.Info, dir string, from []*version, progress func(done, total int64)) (missing int64, err error) {
	defer func() {
		for _, v := range from {
			v.close()
		}
	}()
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
	var done atomic.Int64
	done.Store(info.Length - parts.Missing())
	err = eachMissing(ctx, info, parts, func(ctx context.Context, i int) error {
		defer func() { progress(min(info.Length, done.Add(info.Files[i].Length)), info.Length) }()
		return fromVersions(ctx, info, i, parts, from, func(f *os.File) error {
			defer f.Close()
			return parts.Copy(ctx, i, f)
		})
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

// fromVersions has copied what versions have of file i of a content: a file with its root, whatever it is called there, and else the one at its path, of whose pieces some may be right.
func fromVersions(ctx context.Context, in *piece.Info, i int, parts *swarm.Parts, from []*version, copy func(f *os.File) error) error {
	for _, v := range from {
		for j := range v.equalFiles(&in.Files[i]) {
			if err := v.give(ctx, j, copy); err != nil || parts.Has(i) {
				return err
			}
		}
	}
	first, end := in.FilePieces(i)
	for _, v := range from {
		for p := first; p < end; p++ {
			if v.hasPiece(in, i, p) && !parts.HasPiece(p) {
				if err := v.give(ctx, v.fileAt(in, i), copy); err != nil || parts.Has(i) {
					return err
				}
				break
			}
		}
	}
	return nil
}

// give has one of its files copied. What is wrong with it is found out where it is copied to; that it cannot be read is no error. What copy is given is its to close.
func (v *version) give(ctx context.Context, file int, copy func(f *os.File) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := v.open(file)
	if err != nil {
		return nil
	}
	return copy(f)
}

// HasAll says whether those places have, by their descriptions, all pieces that are named of a content.
func HasAll(info *piece.Info, pieces []int, from []Lying) bool {
	versions := versionsOf(from)
	return !slices.ContainsFunc(pieces, func(p int) bool {
		i := info.FileOfPiece(p)
		return !slices.ContainsFunc(versions, func(v *version) bool {
			_, same := v.info.FileByRoot(info.Files[i].Root)
			return same || v.hasPiece(info, i, p)
		})
	})
}

// maxBesides bounds how many neighbours are looked at.
const maxBesides = 64

// Besides is what the state directory knows that may have some of what was put at path: the same content elsewhere, and what lies beside it.
func Besides(stateDir string, t *piece.Torrent, path string) (list []Lying) {
	s, dir := installed{stateDir}, filepath.Dir(path)
	places := s.placesAround(dir)
	delete(places, path)
	take := func(where string) {
		if k := s.torrent(places[where]); k != nil && disk.Exists(where) {
			list = append(list, Lying{k.Info, where})
		}
		delete(places, where)
	}
	paths := slices.Sorted(maps.Keys(places))
	for _, where := range paths {
		if len(list) == 0 && places[where] == t.Key() {
			take(where)
		}
	}
	for _, where := range paths {
		if filepath.Dir(where) == dir && len(list) < maxBesides {
			take(where)
		}
	}
	return list
}

// LyingReleases are those of an app's versions, named by APP@VERSION, that lie where the state directory says, in that order.
func LyingReleases(stateDir string, refs []string) (list []Lying) {
	s := installed{stateDir}
	places := map[string]put{}
	for _, p := range s.puts(1 << 30) {
		if ref := s.release(p.v2); slices.Contains(refs, ref) && places[ref].path == "" && disk.Exists(p.path) {
			places[ref] = p
		}
	}
	for _, ref := range refs {
		if p := places[ref]; p.path != "" {
			if t := s.torrent(p.v2); t != nil {
				list = append(list, Lying{t.Info, p.path})
			}
		}
	}
	return list
}
