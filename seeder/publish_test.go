package seeder

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/release"
	"shoal/piece"
	"shoal/swarm"
)

// tree has all that a release can: a program, a symlink, an empty file, directories.
func tree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "build")
	for path, text := range map[string]string{"bin/tool": "#!/bin/sh\n", "share/doc/a & b%41.txt": "text", "share/empty": ""} {
		full := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(filepath.Join(dir, "bin", "tool"), 0o755), os.Symlink("../share/doc", filepath.Join(dir, "bin", "docs"))); err != nil {
		t.Skip("no symlinks here: ", err)
	}
	return dir
}

func initRepository(t *testing.T) *release.Repository {
	t.Helper()
	r, err := release.Init(t.Context(), filepath.Join(t.TempDir(), "repo"), release.InitConfig{}, release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// whole verifies content that lies at path.
func whole(t *testing.T, x *piece.Torrent, path string) {
	t.Helper()
	report, err := piece.Verify(t.Context(), x.Info, path, piece.VerifyConfig{})
	if err != nil || !report.OK() {
		t.Fatalf("%s is not what was published: %+v, %v", path, report, err)
	}
}

func TestPublishTree(t *testing.T) {
	dir := tree(t)
	r := initRepository(t)
	p, err := Publish(t.Context(), r, dir, PublishConfig{App: "app", Version: "1", Platform: "any"})
	if err != nil || !p.Added {
		t.Fatalf("%+v, %v", p, err)
	}
	if p.Torrent.Name != "app-1" {
		t.Errorf("the content is called %q, want app-1", p.Torrent.Name)
	}
	whole(t, p.Torrent, filepath.Join(r.ContentDir(hex.EncodeToString(p.Torrent.V2[:])), "app-1"))
	again, err := Publish(t.Context(), r, dir, PublishConfig{App: "app", Version: "1", Platform: "any"})
	if err != nil || again.Added {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "share", "empty"), []byte("more"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Publish(t.Context(), r, dir, PublishConfig{App: "app", Version: "1", Platform: "any"}); !errors.Is(err, release.ErrPublished) {
		t.Errorf("other content: %v, want ErrPublished", err)
	}
	if left, err := filepath.Glob(filepath.Join(r.Public(), "content", ".copy-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestPublishInPlace(t *testing.T) {
	dir := tree(t)
	r := initRepository(t)
	p, err := Publish(t.Context(), r, dir, PublishConfig{App: "app", Version: "1", Platform: "any", InPlace: true})
	if err != nil {
		t.Fatal(err)
	}
	v2 := hex.EncodeToString(p.Torrent.V2[:])
	if _, err := os.Stat(r.ContentDir(v2)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the content was copied: %v", err)
	}
	if m, err := r.InPlace(); err != nil || m[v2] != dir {
		t.Errorf("in place: %v, %v", m, err)
	}
}

// An archive of content that has changed since it was hashed would be another content's: nothing is signed.
func TestContentChangesWhileItIsArchived(t *testing.T) {
	dir, r := archived(t), initRepository(t)
	change := func() {
		if err := os.WriteFile(filepath.Join(dir, "text"), bytes.Repeat([]byte("other text\n\n\n\n\n\n"), 10_000), 0o644); err != nil {
			t.Error(err)
		}
	}
	_, err := Publish(t.Context(), r, dir, PublishConfig{App: "app", Version: "1", Platform: "any", InPlace: true, Archiving: change})
	if !errors.Is(err, swarm.ErrChanged) {
		t.Errorf("%v, want ErrChanged", err)
	}
	if rel, err := r.Lookup(t.Context(), "app", "1", "any"); err != nil || rel != nil {
		t.Errorf("%+v, %v, want that nothing is published", rel, err)
	}
}

// What is pushed is the tree again, with what is not sent because its torrent tells it.
func TestCompleteTree(t *testing.T) {
	dir := tree(t)
	x, _, err := piece.Build(t.Context(), dir, piece.BuildConfig{Name: "app-1"})
	if err != nil {
		t.Fatal(err)
	}
	came := t.TempDir()
	for i := range x.Files {
		f := &x.Files[i]
		if f.Symlink != nil || f.Length == 0 {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, filepath.Join(f.Path...)))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(came, filepath.FromSlash(f.Name(x.Info)))
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // a push that is repeated finds it done
		if err := completeTree(x, came); err != nil {
			t.Fatal(err)
		}
		whole(t, x, filepath.Join(came, "app-1"))
	}
}

// Content that is not what was signed is neither offered nor in the way of the rest.
func TestDamagedContentIsNotOffered(t *testing.T) {
	r := initRepository(t)
	dir := tree(t)
	bad, err := Publish(t.Context(), r, dir, PublishConfig{App: "app", Version: "1", Platform: "any"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("good"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Publish(t.Context(), r, file, PublishConfig{App: "app", Version: "2", Platform: "any"}); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(r.ContentDir(hex.EncodeToString(bad.Torrent.V2[:])), "app-1", "bin", "tool")
	if err := os.WriteFile(damaged, []byte("#!/bin/hs\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, 0)
	s := New(Config{StateDir: t.TempDir(), Node: h.Node})
	added, err := s.SyncRepository(t.Context(), r)
	if err != nil || len(added) != 1 || added[0].Name != "file" {
		t.Fatalf("offered %v, %v, want the good one", added, err)
	}
	// Withdrawn, it is not offered any more.
	if _, err := Publish(t.Context(), r, file, PublishConfig{App: "app", Version: "3", Platform: "any"}); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"2", "3"} { // both have the content
		if n := len(s.Contents()); n != 1 {
			t.Fatalf("%d contents before withdrawing %s, want 1", n, version)
		}
		if _, err := r.Update(context.Background(), func(tx *release.Tx) error { _, err := tx.Withdraw("app", version, "no"); return err }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.SyncRepository(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.Contents()); n != 0 {
		t.Errorf("%d contents are offered when all are withdrawn", n)
	}
}
