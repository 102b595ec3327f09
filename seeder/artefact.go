package seeder

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/piece"
)

// artefactOf is what a release document says of a content, with its packed metainfo.
func artefactOf(kind string, t *piece.Torrent) (a release.Artefact, packed []byte, err error) {
	if packed, err = deliver.PackMetainfo(t); err != nil {
		return a, nil, err
	}
	a = release.Artefact{Kind: kind, Name: t.Name, V2: hex.EncodeToString(t.V2[:]), Bytes: t.Length, Metainfo: int64(len(packed))}
	if t.HasV1 {
		a.V1 = hex.EncodeToString(t.V1[:])
	}
	return a, packed, nil
}

// An archive is published when it saves something worth the trouble.
const (
	archiveSaves = 64 << 10 // bytes, and
	archiveShare = 0.95     // of the content
)

// makeArchive makes the archive of a content that lies at path, and brings it into the repository. nil: it would save nothing, or it is to be the one that was
// signed, which another version of the compressor has made.
func makeArchive(ctx context.Context, r *release.Repository, t *piece.Torrent, path string, was *release.Artefact, progress func(done, total int64)) (*release.Artefact, []byte, error) {
	if t.Length < archiveSaves {
		return nil, nil, nil
	}
	draft, err := newDraft(r, t.Name+".tar.zst")
	if err != nil {
		return nil, nil, err
	}
	defer draft.Close()
	if err := draft.fill(func(w io.Writer) error { return deliver.WriteArchive(ctx, w, t, path, progress) }); err != nil {
		return nil, nil, fmt.Errorf("making an archive of %s: %w", t.Name, err)
	}
	if n := draft.bytes; n > t.Length-archiveSaves || float64(n) > archiveShare*float64(t.Length) {
		return nil, nil, nil
	}
	a, packed, x, err := draft.describe(ctx, "F")
	if err != nil || was != nil && was.V2 != a.V2 {
		return nil, nil, err
	}
	return &a, packed, draft.keep(ctx, x)
}

// draft is a file that is to become content of a repository, when it is known what is in it.
type draft struct {
	r     *release.Repository
	dir   string
	name  string
	bytes int64
}

func newDraft(r *release.Repository, name string) (*draft, error) {
	parent := filepath.Join(r.Public(), "content")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, ".draft-")
	if err != nil {
		return nil, err
	}
	return &draft{r: r, dir: dir, name: name}, os.Chmod(dir, 0o755)
}

// Close removes what was not kept.
func (d *draft) Close() error { return os.RemoveAll(d.dir) }

func (d *draft) path() string { return filepath.Join(d.dir, d.name) }

// fill writes the file.
func (d *draft) fill(write func(w io.Writer) error) error {
	f, err := os.OpenFile(d.path(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	b := bufio.NewWriterSize(f, 256<<10)
	if err := errors.Join(write(b), b.Flush(), f.Sync()); err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		d.bytes = info.Size()
	}
	return err
}

// describe says what is in the file.
func (d *draft) describe(ctx context.Context, kind string) (a release.Artefact, packed []byte, t *piece.Torrent, err error) {
	if t, _, err = piece.Build(ctx, d.path(), piece.BuildConfig{Name: d.name}); err != nil {
		return a, nil, nil, err
	}
	a, packed, err = artefactOf(kind, t)
	return a, packed, t, err
}

// keep gives the file its place.
func (d *draft) keep(ctx context.Context, t *piece.Torrent) error {
	return bringIn(ctx, d.dir, d.r.ContentDir(t.Key()), t)
}

// bringIn gives a new directory with the content of t its place in the repository. What lies there already stays if it is right, and goes if it is not.
func bringIn(ctx context.Context, dir, to string, t *piece.Torrent) error {
	old := dir + ".old" // with a leading dot, as dir: it is removed one day if nobody else does
	err := os.Rename(dir, to)
	if errors.Is(err, fs.ErrExist) || err != nil && strings.Contains(err.Error(), "not empty") {
		if whole, err := isWhole(ctx, t, filepath.Join(to, t.Name)); err != nil || whole {
			return err
		}
		if err := os.Rename(to, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err = os.Rename(dir, to); err != nil {
			return errors.Join(err, os.Rename(old, to))
		}
		defer os.RemoveAll(old)
	}
	if err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(to))
}
