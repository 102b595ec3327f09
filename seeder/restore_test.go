package seeder

import (
	"bytes"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/internal/release"
)

// archived is a tree that is worth an archive.
func archived(t *testing.T) string {
	t.Helper()
	dir := tree(t)
	if err := os.WriteFile(filepath.Join(dir, "text"), bytes.Repeat([]byte("0123456789abcde\n"), 10_000), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Whatever the repository has lost of a release is there again when it is published again, and nothing is signed anew.
func TestPublishingAgainRestores(t *testing.T) {
	damage := func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b[len(b)/2] ^= 1
		return os.WriteFile(path, b, 0o644)
	}
	metainfo := func(r *release.Repository, v2 string) error {
		files, err := filepath.Glob(filepath.Join(r.Public(), "targets", "metainfo", "*."+v2+".torrent.zst"))
		if err != nil || len(files) != 1 {
			return errors.Join(err, errors.New("no metainfo"))
		}
		return os.Remove(files[0])
	}
	for _, c := range []struct {
		name string
		lose func(r *release.Repository, tree, archive *release.Artefact) error
		want []string
	}{
		{"nothing", func(*release.Repository, *release.Artefact, *release.Artefact) error { return nil }, nil},
		{"the content", func(r *release.Repository, tree, _ *release.Artefact) error {
			return os.RemoveAll(r.ContentDir(tree.V2))
		}, []string{"content"}},
		{"a file of it", func(r *release.Repository, tree, _ *release.Artefact) error {
			return os.Remove(filepath.Join(r.ContentDir(tree.V2), tree.Name, "bin", "docs"))
		}, []string{"content"}},
		{"a bit of it", func(r *release.Repository, tree, _ *release.Artefact) error {
			return damage(filepath.Join(r.ContentDir(tree.V2), tree.Name, "text"))
		}, []string{"content"}},
		{"the archive", func(r *release.Repository, _, archive *release.Artefact) error {
			return os.RemoveAll(r.ContentDir(archive.V2))
		}, []string{"archive"}},
		{"a bit of the archive", func(r *release.Repository, _, archive *release.Artefact) error {
			return damage(filepath.Join(r.ContentDir(archive.V2), archive.Name))
		}, []string{"archive"}},
		{"the torrent", func(r *release.Repository, tree, _ *release.Artefact) error { return metainfo(r, tree.V2) }, []string{"torrent"}},
		{"the archive's torrent", func(r *release.Repository, _, archive *release.Artefact) error { return metainfo(r, archive.V2) }, []string{"archive"}},
		{"all", func(r *release.Repository, tree, archive *release.Artefact) error {
			return errors.Join(os.RemoveAll(filepath.Join(r.Public(), "content")), metainfo(r, tree.V2), metainfo(r, archive.V2))
		}, []string{"content", "torrent", "archive"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, r := archived(t), initRepository(t)
			config := PublishConfig{App: "app", Version: "1", Platform: "any"}
			first, err := Publish(t.Context(), r, dir, config)
			if err != nil || first.Archive == nil {
				t.Fatalf("%+v, %v", first, err)
			}
			rel, err := r.Lookup(t.Context(), "app", "1", "any")
			if err != nil {
				t.Fatal(err)
			}
			if err := c.lose(r, rel.Tree(), rel.Archive()); err != nil {
				t.Fatal(err)
			}
			again, err := Publish(t.Context(), r, dir, config)
			if err != nil || again.Added || !slices.Equal(again.Restored, c.want) || len(again.Signed) > 0 {
				t.Fatalf("restored %q, %v, signed %v, want %q and nothing signed", again.Restored, err, again.Signed, c.want)
			}
			live, err := r.Live(t.Context())
			if err != nil || len(live) != 2 {
				t.Fatalf("%d contents, %v", len(live), err)
			}
			for _, l := range live {
				if whole, err := holds(t.Context(), r, l); err != nil || !whole {
					t.Errorf("%s is not there, %v", l.Artefact.Name, err)
				}
			}
			if left, err := filepath.Glob(filepath.Join(r.Public(), "content", ".*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// What is refused restores nothing: a version with other content, and one that was withdrawn.
func TestRefusedIsNotRestored(t *testing.T) {
	dir, r := archived(t), initRepository(t)
	config := PublishConfig{App: "app", Version: "1", Platform: "any"}
	p, err := Publish(t.Context(), r, dir, config)
	if err != nil {
		t.Fatal(err)
	}
	lost := r.ContentDir(hex.EncodeToString(p.Torrent.V2[:]))
	refused := func(why string) {
		t.Helper()
		if p, err := Publish(t.Context(), r, dir, config); !errors.Is(err, release.ErrPublished) {
			t.Errorf("%s: %+v, %v, want ErrPublished", why, p, err)
		}
		if _, err := os.Lstat(lost); err == nil {
			t.Errorf("%s: the content is there again", why)
		}
	}
	more := filepath.Join(dir, "more")
	if err := errors.Join(os.RemoveAll(lost), os.WriteFile(more, []byte("more"), 0o644)); err != nil {
		t.Fatal(err)
	}
	refused("other content")
	if err := os.Remove(more); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Update(t.Context(), func(tx *release.Tx) error { _, err := tx.Withdraw("app", "1", "no"); return err }); err != nil {
		t.Fatal(err)
	}
	refused("withdrawn")
}

// Content that was published in place and has gone from there is published again from where it is now, in place or not.
func TestContentHasMoved(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		dir, r := archived(t), initRepository(t)
		config := PublishConfig{App: "app", Version: "1", Platform: "any", InPlace: true}
		if _, err := Publish(t.Context(), r, dir, config); err != nil {
			t.Fatal(err)
		}
		moved := filepath.Join(t.TempDir(), "moved")
		if err := os.Rename(dir, moved); err != nil {
			t.Fatal(err)
		}
		config.InPlace = inPlace
		p, err := Publish(t.Context(), r, moved, config)
		if err != nil || !slices.Equal(p.Restored, []string{"content"}) {
			t.Fatalf("%+v, %v, want that the content is restored", p, err)
		}
		v2 := hex.EncodeToString(p.Torrent.V2[:])
		want := map[bool]string{false: "", true: moved}[inPlace]
		if m, err := r.InPlace(); err != nil || m[v2] != want {
			t.Errorf("in place %v: it lies at %q, %v, want %q", inPlace, m[v2], err, want)
		}
		if !inPlace {
			whole(t, p.Torrent, filepath.Join(r.ContentDir(v2), "app-1"))
		}
	}
}

// An origin says what is to be published again when content of a release has changed or is lost, and offers it when that was done; it need not be started again.
func TestRestoredIsOfferedAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(path string) error
	}{
		{"lost", os.RemoveAll},
		{"changed", func(path string) error { return os.WriteFile(filepath.Join(path, "text"), []byte("other"), 0o644) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, r := archived(t), initRepository(t)
			config := PublishConfig{App: "app", Version: "1", Platform: "any"}
			p, err := Publish(t.Context(), r, dir, config)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			h := newHost(t, 0)
			s := New(Config{StateDir: t.TempDir(), Node: h.Node, Log: slog.New(slog.NewTextHandler(&log, nil))})
			sync := func() *Content {
				t.Helper()
				if _, err := s.SyncRepository(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				return s.find(p.Torrent.Key())
			}
			if c := sync(); c == nil || c.Gone() != nil {
				t.Fatalf("%+v, want that it is offered", c)
			}
			if err := c.lose(filepath.Join(r.ContentDir(p.Torrent.Key()), "app-1")); err != nil {
				t.Fatal(err)
			}
			s.Look(time.Now())
			if !s.Unsettled() || s.Unsettled() {
				t.Error("it is not unsettled once")
			}
			if c := sync(); c == nil || c.Gone() == nil {
				t.Errorf("%+v, want that it is not offered", c)
			}
			for _, want := range []string{"publish it again", "app@1", "platform=any"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("%q is not in the log:\n%s", want, &log)
				}
			}
			if strings.Contains(log.String(), "run serve again") {
				t.Errorf("to run serve again is no help:\n%s", &log)
			}
			timestamp := filepath.Join(r.Public(), "metadata", "timestamp.json")
			before, err := os.Stat(timestamp)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Publish(t.Context(), r, dir, config); err != nil {
				t.Fatal(err)
			}
			if after, err := os.Stat(timestamp); err != nil || after.ModTime().Equal(before.ModTime()) {
				t.Errorf("%v, %v: nobody who serves it notices", after, err)
			}
			if c := sync(); c == nil || c.Gone() != nil {
				t.Errorf("%+v, want that it is offered again", c)
			}
			if n := len(s.Contents()); n != 2 {
				t.Errorf("%d contents are offered, want content and archive", n)
			}
		})
	}
}

// Without the metainfo of one release an origin still serves all others.
func TestLostTorrentIsNotInTheWay(t *testing.T) {
	dir, r := archived(t), initRepository(t)
	var lost string
	for _, version := range []string{"1", "2"} {
		p, err := Publish(t.Context(), r, dir, PublishConfig{App: "app", Version: version, Platform: "any"})
		if err != nil {
			t.Fatal(err)
		}
		lost = p.Torrent.Key()
	}
	files, err := filepath.Glob(filepath.Join(r.Public(), "targets", "metainfo", "*."+lost+".torrent.zst"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	s := New(Config{StateDir: t.TempDir(), Node: newHost(t, 0).Node})
	if added, err := s.SyncRepository(t.Context(), r); err != nil || len(added) != 3 || s.find(lost) != nil {
		t.Errorf("offered %d, %v, want the other three", len(added), err)
	}
}
