package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clock is a clock that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

// testRepo is a repository with plain keys.
type testRepo struct {
	*Repository
	t     testing.TB
	clock *clock
}

func newRepo(t testing.TB, ic InitConfig) *testRepo {
	t.Helper()
	c := newClock()
	r, err := Init(t.Context(), filepath.Join(t.TempDir(), "repo"), ic, Config{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return &testRepo{r, t, c}
}

func (r *testRepo) update(change func(*Tx) error) *Done {
	r.t.Helper()
	d, err := r.Update(r.t.Context(), change)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// content is a release of made-up content.
func content(app, version, platform string) Release {
	v2 := sha256Hex([]byte(app + version + platform))
	return Release{Format: 1, App: app, Version: version, Platform: platform, Artefacts: []Artefact{{Kind: "T", Name: app + "-" + version, V2: v2, V1: v2[:40], Bytes: 1000}}}
}

func metainfoOf(rel Release) []byte { return []byte("metainfo of " + rel.Tree().V2) }

// publish publishes app@version for any platform.
func (r *testRepo) publish(app, version, channel string) *Done {
	r.t.Helper()
	return r.update(func(tx *Tx) error {
		rel := content(app, version, AnyPlatform)
		if _, err := tx.Add(rel, metainfoOf(rel)); err != nil {
			return err
		}
		if channel == "" {
			return nil
		}
		_, err := tx.Promote(app, version, channel)
		return err
	})
}

func (r *testRepo) root() []byte {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.Dir(), "root.json"))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// memory is a repository's public files in memory, which a test can change.
type memory struct {
	files map[string][]byte
	asked []string
}

func (r *testRepo) copy() *memory {
	r.t.Helper()
	m := &memory{files: map[string][]byte{}}
	err := filepath.WalkDir(r.Public(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(r.Public(), path)
		if err != nil {
			return err
		}
		m.files[filepath.ToSlash(rel)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (m *memory) clone() *memory { return &memory{files: maps.Clone(m.files)} }

func (m *memory) Get(_ context.Context, path string, limit int64, tag string) ([]byte, string, error) {
	m.asked = append(m.asked, path)
	b, ok := m.files[path]
	if !ok {
		return nil, "", ErrAbsent
	}
	now := sha256Hex(b)[:8]
	if tag == now {
		return nil, "", ErrUnchanged
	}
	b, err := ReadLimited(bytes.NewReader(b), limit, path)
	return b, now, err
}

// client is a machine with a memory of its own.
type client struct {
	t     testing.TB
	dir   string
	root  []byte
	clock *clock
}

func (r *testRepo) client() *client { return &client{r.t, r.t.TempDir(), r.root(), r.clock} }

// withRoot pins another root: c has seen nothing yet.
func (c *client) withRoot(root []byte) *client {
	c.root = root
	return c
}

func (c *client) trust(files Files) (*Trust, error) {
	t, err := NewTrust(c.t.Context(), TrustConfig{Files: files, Dir: c.dir, Root: c.root, Name: "test", Now: c.clock.now})
	if err != nil {
		return nil, err
	}
	return t, t.Refresh(c.t.Context())
}

// clone is another machine that knows the same.
func (c *client) clone() *client {
	c.t.Helper()
	dir := c.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(c.dir)); err != nil {
		c.t.Fatal(err)
	}
	return &client{c.t, dir, c.root, c.clock}
}

// get follows the chain down to the metainfo.
func (c *client) get(files Files, source string) (*Found, []byte, error) {
	t, err := c.trust(files)
	if err != nil {
		return nil, nil, err
	}
	ref, ok := ParseRef(source)
	if !ok {
		c.t.Fatalf("%q is no release", source)
	}
	f, err := t.Release(c.t.Context(), ref, Platforms(""))
	if err != nil {
		return nil, nil, err
	}
	b, err := t.Metainfo(c.t.Context(), f)
	return f, b, err
}

func (c *client) gets(files Files, source, version string) *Found {
	c.t.Helper()
	f, b, err := c.get(files, source)
	if err != nil {
		c.t.Fatalf("%s: %v, want version %s", source, err, version)
	}
	if want := content(f.App, version, f.Platform); f.Version != version || string(b) != string(metainfoOf(want)) {
		c.t.Fatalf("%s is %s with metainfo %q, want version %s", source, f.Version, b, version)
	}
	return f
}

// refuses wants a refusal by a rule.
func (c *client) refuses(files Files, source string, rule Rule) *Refusal {
	c.t.Helper()
	f, _, err := c.get(files, source)
	return wantRefusal(c.t, fmt.Sprintf("%s (%v)", source, f), err, rule)
}

func wantRefusal(t testing.TB, what string, err error, rule Rule) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Rule != rule {
		t.Fatalf("%s: %v, want a refusal by the rule %s", what, err, rule)
	}
	if r.Message == "" || strings.Contains(r.Error(), "\n") {
		t.Fatalf("%s: %q is not one line that says what is wrong", what, r.Error())
	}
	return r
}
