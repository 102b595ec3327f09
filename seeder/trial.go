package seeder

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"shoal/internal/release"
	"shoal/piece"
	"shoal/piece/delta"
)

// A patch that is published is tried when its release is published again: before bases were held against their roots, one that was made of another base than what
// was signed was published like any other, and each machine found out for itself that it makes something else.

// openPatch opens a published patch, if the repository has all of it as it was signed: the file, its torrent, and what comes with the signed documents.
func openPatch(ctx context.Context, r *release.Repository, contents []*release.Live, rel *release.Release, a *release.Artefact) (io.ReadCloser, error) {
	var data []byte
	if a.IsTarget() {
		var err error
		if data, err = r.Beside(ctx, rel, a); err != nil {
			return nil, err
		}
	}
	if a.V2 == "" {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	l := liveOf(contents, rel, a)
	if l == nil {
		return nil, release.ErrAbsent
	}
	if whole, err := holds(ctx, r, l); err != nil || !whole {
		return nil, errors.Join(err, release.ErrAbsent)
	}
	return os.Open(filepath.Join(r.ContentDir(a.V2), a.Name))
}

// liveOf is a content of a release among those of all; nil if it is not there.
func liveOf(contents []*release.Live, rel *release.Release, a *release.Artefact) *release.Live {
	for _, l := range contents {
		if l.App == rel.App && l.Artefact.V2 == a.V2 {
			return l
		}
	}
	return nil
}

// leadsTo says whether a patch makes one content of another, whose files are right.
func leadsTo(ctx context.Context, patch io.Reader, old, new *stored, progress func(done, total int64)) (bool, error) {
	x := &trial{info: new.t.Info, progress: progress}
	for i, change := range delta.Compare(old.t.Info, x.info).Files {
		if change.Kind <= delta.Changed && x.info.Files[i].Symlink == nil {
			x.total += x.info.Files[i].Length
		}
	}
	err := delta.Apply(ctx, old.tree(), patch, delta.Want{V2: new.t.V2, Length: new.t.Length}, x)
	return err == nil, ctx.Err()
}

// A trial is a delta.Sink that keeps nothing but the hashes of what is made.
type trial struct {
	info        *piece.Info
	progress    func(done, total int64)
	done, total int64
}

// Begin implements delta.Sink.
func (x *trial) Begin(*piece.Info, delta.Changes) error { return nil }

// Create implements delta.Sink.
func (x *trial) Create(file int) (io.WriteCloser, error) {
	return &triedFile{trial: x, file: file}, nil
}

// A triedFile is one file that a patch makes.
type triedFile struct {
	*trial
	file   int
	rest   []byte // less than a block
	leaves []piece.Hash32
}

func (f *triedFile) Write(b []byte) (int, error) {
	f.rest = append(f.rest, b...)
	n := len(f.rest) / piece.BlockSize * piece.BlockSize
	f.leaves = piece.AppendLeaves(f.leaves, f.rest[:n])
	f.rest = append(f.rest[:0], f.rest[n:]...)
	if f.done += int64(len(b)); f.progress != nil {
		f.progress(f.done, f.total)
	}
	return len(b), nil
}

// Close says whether the file is right.
func (f *triedFile) Close() error {
	leaves := f.leaves
	if len(f.rest) > 0 {
		leaves = piece.AppendLeaves(leaves, f.rest)
	}
	first, end := f.info.FilePieces(f.file)
	for p := first; p < end; p++ {
		n := f.info.LeafCount(p)
		if len(leaves) < n || !f.info.CheckLeaves(p, leaves[:n]) {
			return piece.ErrCorrupt
		}
		leaves = leaves[n:]
	}
	return nil
}
