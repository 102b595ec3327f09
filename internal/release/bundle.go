package release

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// A bundle is one release with everything that proves it, in one file for machines without a network. It is a tar archive. Its first entry is shoal-bundle.json,
// {"format":1,"repository":ID,"app":…,"version":…}; then come public files of the repository under their paths: those of metadata, targets and log that a client
// asks for who knows nothing yet, all roots and hash tiles, and the content. No entry is trusted for being there.

const (
	bundleHeader     = "shoal-bundle.json"
	maxBundleEntries = 4 << 20
)

type bundleHead struct {
	Format     int    `json:"format"` // 1
	Repository string `json:"repository"`
	App        string `json:"app,omitempty"` // neither is there in a repository's state, which has many; see item.go
	Version    string `json:"version,omitempty"`
}

// Recorder is a Files that remembers what was asked for and was there.
type Recorder struct {
	Files
	Seen map[string][]byte
}

// Get implements Files.
func (r *Recorder) Get(ctx context.Context, path string, limit int64, _ string) ([]byte, string, error) {
	b, _, err := r.Files.Get(ctx, path, limit, "")
	if err == nil {
		r.Seen[path] = b
	}
	return b, "", err
}

// Proof collects everything that proves the releases: each of refs for those of the platforms that it is published for. The result is by path, and checked.
func Proof(ctx context.Context, files Files, root []byte, refs []Ref, platforms []string) (proof map[string][]byte, found []*Found, err error) {
	rec := &Recorder{files, map[string][]byte{}}
	t, err := NewTrust(ctx, TrustConfig{Files: rec, Root: root})
	if err != nil {
		return nil, nil, err
	}
	if err := t.Refresh(ctx); err != nil {
		return nil, nil, err
	}
	for _, ref := range refs {
		before := len(found)
		for _, platform := range platforms {
			if err := t.prove(ctx, ref, platform, &found); err != nil && !isUnknown(err) {
				return nil, nil, err
			}
		}
		if len(found) == before {
			return nil, nil, refuse(RuleUnknown, "%s is not published for %s", ref, orList(platforms))
		}
	}
	return rec.Seen, found, t.ReadAround(ctx)
}

// ReadAround reads from Files what other clients may need besides what this one does, so that a Files that remembers has it: they may begin with any root,
// and may have seen any state of the log. Refresh comes first.
func (t *Trust) ReadAround(ctx context.Context) error {
	for version := int64(1); version <= t.set.Root.Signed.Version; version++ {
		if _, err := readFile(ctx, t.cfg.Files, metaName(roleRoot, version), maxRoot); err != nil {
			return err
		}
	}
	for _, tile := range tlog.NewTiles(tileHeight, 0, t.checkpoint.Size) {
		if _, err := readFile(ctx, t.cfg.Files, tilePath(tile), int64(tile.W*tlog.HashSize)); err != nil && !errors.Is(err, ErrAbsent) {
			return err
		}
	}
	return nil
}

// Platforms lists the platforms that a version is published for.
func (r *Repository) Platforms(ctx context.Context, app, version string) ([]string, error) {
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return nil, err
	}
	live, _, err := tx.platforms(app, version)
	return live, err
}

// BundleWriter writes a bundle.
type BundleWriter struct{ w *tar.Writer }

// NewBundle begins a bundle with the proof of a release.
func NewBundle(w io.Writer, repository string, ref Ref, proof map[string][]byte) (*BundleWriter, error) {
	head, err := json.Marshal(bundleHead{1, repository, ref.App, ref.Version})
	if err != nil {
		return nil, err
	}
	b := &BundleWriter{tar.NewWriter(w)}
	if err := b.add(bundleHeader, int64(len(head)), strings.NewReader(string(head))); err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(proof)) {
		if err := b.add(path, int64(len(proof[path])), strings.NewReader(string(proof[path]))); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Add appends a file of content.
func (b *BundleWriter) Add(path string, size int64, r io.Reader) error { return b.add(path, size, r) }

func (b *BundleWriter) add(path string, size int64, r io.Reader) error {
	// No times, owners or modes: the same release gives the same bundle, and modes come from the torrent.
	if err := b.w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	n, err := io.Copy(b.w, r)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Close writes the end.
func (b *BundleWriter) Close() error { return b.w.Close() }

// Bundle is an open bundle. It is a Files.
type Bundle struct {
	head  bundleHead
	f     *os.File
	index map[string]*io.SectionReader
}

// IsBundle says whether a file begins as a bundle does.
func IsBundle(begin []byte) bool {
	return len(begin) >= 512 && strings.HasPrefix(string(begin), bundleHeader+"\x00") && string(begin[257:262]) == "ustar"
}

// OpenBundle reads what is in a bundle; of its bytes nothing is checked yet.
func OpenBundle(path string) (*Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b := &Bundle{f: f, index: map[string]*io.SectionReader{}}
	if err := b.read(); err != nil {
		f.Close()
		var r *Refusal
		if errors.As(err, &r) {
			return nil, err
		}
		r = refuse(RuleMalformed, "%s is not a bundle, or not all of one: %v", path, err)
		r.Hint = "copy it again, and compare its size with that of the original"
		return nil, r
	}
	return b, nil
}

func (b *Bundle) read() error {
	info, err := b.f.Stat()
	if err != nil {
		return err
	}
	r := tar.NewReader(b.f)
	for n := 0; ; n++ {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		// The reader reads whole blocks and nothing ahead, so the file stands where the entry's bytes begin.
		at, err := b.f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if n > maxBundleEntries || h.Typeflag != tar.TypeReg || !fs.ValidPath(h.Name) || h.Size > info.Size()-at || h.PAXRecords["GNU.sparse.major"] != "" || b.index[h.Name] != nil {
			return fmt.Errorf("entry %d, %.200q, is none of a bundle", n, h.Name)
		}
		if (n == 0) != (h.Name == bundleHeader) {
			return errors.New("its first entry is not " + bundleHeader)
		}
		b.index[h.Name] = io.NewSectionReader(b.f, at, h.Size)
	}
	head, ok := b.index[bundleHeader]
	if !ok {
		return io.ErrUnexpectedEOF
	}
	raw, err := ReadLimited(head, maxDocument, bundleHeader)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &b.head); err != nil {
		return err
	}
	if h := b.head; h.Format != 1 || !isHash(h.Repository, 16) || !(h.App == "" && h.Version == "") && !(ValidApp(h.App) && ValidVersion(h.Version)) {
		return errors.New("it is of another format")
	}
	return nil
}

// Repository is what the bundle claims to come from.
func (b *Bundle) Repository() string { return b.head.Repository }

// Ref is the release that the bundle claims to have.
func (b *Bundle) Ref() Ref { return Ref{App: b.head.App, Version: b.head.Version} }

// Open returns an entry.
func (b *Bundle) Open(path string) (*io.SectionReader, error) {
	s := b.index[path]
	if s == nil {
		return nil, ErrAbsent
	}
	return io.NewSectionReader(s, 0, s.Size()), nil
}

// Get implements Files.
func (b *Bundle) Get(ctx context.Context, path string, limit int64, _ string) ([]byte, string, error) {
	s, err := b.Open(path)
	if err != nil {
		return nil, "", err
	}
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	data, err := ReadLimited(s, limit, path)
	return data, "", err
}

// Close closes the file.
func (b *Bundle) Close() error { return b.f.Close() }
