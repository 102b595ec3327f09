package seeder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/piece"
)

// SyncRepository offers the content of every release of a repository that is not withdrawn, and whose rollout is not halted, its archive and its patches, and stops offering what was. It is called again when the repository
// has changed, or something is Unsettled, and returns what is new. Content is verified once, and again when its files have changed.
func (s *Seeder) SyncRepository(ctx context.Context, r *release.Repository) (added []*Content, err error) {
	read := timestamp(r)
	live, err := r.Live(ctx)
	if err != nil {
		return nil, err
	}
	inPlace, err := r.InPlace()
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	var lacking []*release.Live
	var keys []string
	for _, l := range live {
		key := l.Artefact.V2
		if wanted[key] || l.Halted {
			continue
		}
		wanted[key] = true
		if old := s.find(key); old == nil || old.Gone() != nil && old.release != nil {
			lacking, keys = append(lacking, l), append(keys, key)
		}
	}
	s.await(read, keys)
	for _, l := range lacking {
		a, old := l.Artefact, s.find(l.Artefact.V2)
		path := inPlace[a.V2]
		if path == "" {
			path = filepath.Join(r.ContentDir(a.V2), a.Name)
		}
		c, err := s.addRelease(ctx, l, path, old)
		if errors.Is(err, piece.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, release.ErrAbsent) || errors.Is(err, release.ErrRefused) {
			s.cfg.Log.Error("content of a release is not what was signed, and not offered: publish it again from what it was made of", append(whose(l), "err", err)...)
			s.settle(a.V2)
			continue
		}
		if err != nil {
			return added, err // what is left is awaited still: the caller comes again
		}
		s.settle(a.V2)
		if added = append(added, c); old != nil {
			s.cfg.Log.Info("content of a release is what was signed again, and offered", whose(l)...)
		}
	}
	s.mu.Lock()
	gone := slices.DeleteFunc(slices.Clone(s.contents), func(c *Content) bool { return c.release == nil || wanted[c.Key()] })
	s.mu.Unlock()
	for _, c := range gone {
		s.remove(c)
	}
	return added, s.tellCheckpoint(ctx, r)
}

// tellCheckpoint has those who fetch releases told of the log as it is here: who was shown another one notices.
func (s *Seeder) tellCheckpoint(ctx context.Context, r *release.Repository) error {
	note, err := r.Checkpoint(ctx)
	if err != nil {
		return err
	}
	for _, c := range s.Contents() {
		if c.release != nil {
			c.Transfer.SetNote(note)
		}
	}
	return nil
}

// whose says in the log whose content it is: what is to be published again, and for which platform.
func whose(l *release.Live) []any {
	return []any{"name", l.Ref().String(), "platform", l.Platform, "artefact", l.Artefact.Kind}
}

// Unsettled says whether content of a release was found to have changed since it was asked last: it may be right again, and SyncRepository offers it then.
func (s *Seeder) Unsettled() bool { return s.unsettled.Swap(false) }

// find is the content of a key that is on offer, or was until it changed; nil if there is none.
func (s *Seeder) find(key string) *Content {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.contents, func(c *Content) bool { return c.Key() == key }); i >= 0 {
		return s.contents[i]
	}
	return nil
}

// remove stops offering a content.
func (s *Seeder) remove(c *Content) {
	s.web.Remove(c.Key())
	c.Transfer.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contents = slices.DeleteFunc(s.contents, func(o *Content) bool { return o == c })
	if s.byName[c.Name] == c {
		delete(s.byName, c.Name)
	}
	for _, hash := range c.hashes { // its swarm ends as well: peers that have it find nobody new through our tracker
		delete(s.ours, hash)
	}
}

// addRelease verifies a content of a release, unless that was done before, and offers it, in place of one that had changed if there is.
func (s *Seeder) addRelease(ctx context.Context, l *release.Live, path string, old *Content) (*Content, error) {
	owner := &release.Live{Release: l.Release, Artefact: l.Artefact} // without its Metainfo, which holds on to all that was read of the repository
	offer := func(t *piece.Torrent, rec record, cached bool) (*Content, error) {
		if old != nil {
			s.remove(old)
		}
		return s.offer(t, rec, cached, false, nil)
	}
	packed, err := l.Metainfo()
	if err != nil {
		return nil, err
	}
	t, err := deliver.UnpackMetainfo(packed, &l.Artefact)
	if err != nil {
		return nil, err
	}
	if _, rec, err := s.recallAs(path, t.Name); err == nil && rec.Key == l.Artefact.V2 {
		rec.release = owner
		return offer(t, rec, true)
	}
	dir := filepath.Join(s.cfg.StateDir, "metainfo")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	leaves, err := os.CreateTemp(dir, "leaves-*.tmp")
	if err != nil {
		return nil, err
	}
	defer os.Remove(leaves.Name())
	defer leaves.Close()
	rec := record{Path: path, release: owner}
	if err := rec.look(t); err != nil {
		return nil, err
	}
	report, err := piece.Verify(ctx, t.Info, path, piece.VerifyConfig{Leaves: leaves, Progress: s.progress(t.Name)})
	if err != nil {
		return nil, err
	}
	if !report.OK() {
		return nil, fmt.Errorf("%s: %w", path, piece.ErrCorrupt)
	}
	if err := s.keep(t, rec, leaves); err != nil {
		return nil, err
	}
	return offer(t, rec, false)
}

// look notes what the files look like now.
func (r *record) look(t *piece.Torrent) (err error) {
	r.Stamps = r.Stamps[:0]
	for i := range t.Files {
		one, err := stamp(r.Path, t.Info, i)
		if err != nil {
			return err
		}
		r.Stamps = append(r.Stamps, one)
	}
	return nil
}

// RepositoryPath says whether the path of a URL belongs to a repository's signed files.
func RepositoryPath(path string) bool {
	return strings.HasPrefix(path, "/metadata/") || strings.HasPrefix(path, "/targets/") || strings.HasPrefix(path, "/log/")
}

// ServeRepository serves the signed files in a repository's public directory. An update check with nothing new is two requests whose answers have no body.
func ServeRepository(public string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		path := strings.TrimPrefix(r.URL.Path, "/")
		f, info, err := openPublic(public, path)
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		defer f.Close()
		tag, err := tagOf(f, info)
		if err != nil {
			http.Error(w, "cannot be read", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("ETag", tag)
		if lasts(path) {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		h.Set("Content-Type", contentType(path))
		http.ServeContent(w, r, "", time.Time{}, f)
	})
}

func openPublic(public, path string) (*os.File, fs.FileInfo, error) {
	if !fs.ValidPath(path) {
		return nil, nil, fs.ErrNotExist
	}
	root, err := os.OpenRoot(public)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(path))
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// tagOf is the ETag: of small files by their content, so that it survives a copy.
func tagOf(f *os.File, info fs.FileInfo) (string, error) {
	const small = 64 << 10
	if info.Size() > small {
		return fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano()), nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, small)); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	return `"` + hex.EncodeToString(h.Sum(nil)[:8]) + `"`, nil
}

// lasts says whether a file never changes once it is there.
func lasts(path string) bool {
	switch {
	case path == "metadata/timestamp.json" || path == "log/checkpoint" || strings.HasPrefix(path, "log/index/"):
		return false
	}
	return true
}

func contentType(path string) string {
	if strings.HasSuffix(path, ".json") {
		return "application/json"
	}
	return "application/octet-stream"
}
