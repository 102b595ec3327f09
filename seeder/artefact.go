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

// makeArchive makes the archive of a content that lies at path, and brings it into the repository. nil: it would save nothing.
func makeArchive(ctx context.Context, r *release.Repository, t *piece.Torrent, path string, progress func(done, total int64)) (*release.Artefact, []byte, error) {
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
	a, packed, err := draft.keep(ctx, "F")
	return &a, packed, err
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

// keep describes the file and gives it its place.
func (d *draft) keep(ctx context.Context, kind string) (a release.Artefact, packed []byte, err error) {
	t, _, err := piece.Build(ctx, d.path(), piece.BuildConfig{Name: d.name})
	if err != nil {
		return a, nil, err
	}
	if a, packed, err = artefactOf(kind, t); err != nil {
		return a, nil, err
	}
	err = os.Rename(d.dir, d.r.ContentDir(a.V2))
	if errors.Is(err, fs.ErrExist) || err != nil && strings.Contains(err.Error(), "not empty") {
		err = nil // the hash is the directory's name: it can be nothing else
	}
	if err != nil {
		return a, nil, err
	}
	return a, packed, disk.SyncDir(filepath.Dir(d.dir))
}
