package updater

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/piece"
)

// shelf is a Source of versions that lie on this disk.
type shelf struct {
	dir    string // VERSION/NAME…
	offer  Offer
	err    error
	broken bool // what it fetches is not what it says
	gone   bool // nothing can be fetched
}

// newShelf makes versions of an app: trees, or single files.
func newShelf(t testing.TB, dir string, tree bool, versions ...string) *shelf {
	t.Helper()
	for _, v := range versions {
		files := map[string]string{"app": "#!/bin/sh\necho " + v + "\n"}
		if tree {
			files = map[string]string{"bin/app": "#!/bin/sh\necho " + v + "\n", "data/same": strings.Repeat("same", 5000), "data/" + v: v, "empty": ""}
		}
		for name, text := range files {
			path := filepath.Join(dir, v, "app-"+v, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return &shelf{dir: dir, offer: Offer{App: "app", Channel: "stable"}}
}

func (s *shelf) Check(_ context.Context, a Ask) (*Offer, error) {
	if s.err != nil {
		return nil, s.err
	}
	o := s.offer
	if a.Version != "" {
		o.Version, o.Channel = a.Version, ""
	}
	o.V2 = "hash of " + o.Version
	return &o, nil
}

// Describe implements Describer.
func (s *shelf) Describe(v2 string) *piece.Info {
	x, _, err := piece.Build(context.Background(), s.content(strings.TrimPrefix(v2, "hash of ")), piece.BuildConfig{})
	if err != nil {
		return nil
	}
	return x.Info
}

// content is where a version lies on the shelf.
func (s *shelf) content(version string) string {
	content := filepath.Join(s.dir, version, "app-"+version)
	if _, err := os.Stat(filepath.Join(content, "app")); err == nil {
		content = filepath.Join(content, "app")
	}
	return content
}

func (s *shelf) Fetch(ctx context.Context, o *Offer, p Places) (*Fetched, error) {
	if s.gone {
		return nil, errors.New("the shelf is gone")
	}
	content := s.content(o.Version)
	x, _, err := piece.Build(ctx, content, piece.BuildConfig{})
	if err != nil {
		return nil, err
	}
	old := ""
	if len(p.Kept) > 0 && p.Kept[0].V2 != "" { // one of ours
		old = p.Kept[0].Path
	}
	if err := copyOld(ctx, x.Info, old, p.Dir); err != nil {
		return nil, err
	}
	to := filepath.Join(p.Dir, x.Name)
	if err := os.RemoveAll(to); err != nil {
		return nil, err
	}
	if x.Dir {
		err = os.CopyFS(to, os.DirFS(content))
	} else {
		var b []byte
		if b, err = os.ReadFile(content); err == nil {
			err = os.WriteFile(to, b, 0o755)
		}
	}
	if s.broken && err == nil {
		err = os.WriteFile(filepath.Join(to, "data", "same"), []byte("other"), 0o755)
	}
	return &Fetched{Info: x.Info}, err
}

// tempDir is a directory where syncing costs nothing, if the system has such: these tests do it many thousand times.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "shoal-updater-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// machine is a place to install at, and what it was told.
type machine struct {
	t     testing.TB
	shelf *shelf
	cfg   Config

	mu      sync.Mutex
	reports []Report
}

func newMachine(t testing.TB, inPlace bool) *machine {
	t.Helper()
	dir := tempDir(t)
	m := &machine{t: t, shelf: newShelf(t, filepath.Join(dir, "shelf"), !inPlace, "1", "2", "3")}
	m.cfg = Config{To: filepath.Join(dir, "machine", "opt"), InPlace: inPlace, Name: "somewhere/app:stable", App: "app", Channel: "stable", Source: m.shelf, Machine: "here",
		HealthEvery: time.Millisecond, Reporter: m, Log: testLog(t)}
	m.cfg.HealthTimeout = time.Minute
	return m
}

func (m *machine) Report(r Report) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reports = append(m.reports, r)
}

// states are those that were told, since this was asked last.
func (m *machine) states() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var words []string
	for _, r := range m.reports {
		words = append(words, string(r.State))
	}
	m.reports = nil
	return strings.Join(words, " ")
}

// once runs an update as a process of its own would.
func (m *machine) once() error {
	m.t.Helper()
	u, err := New(m.cfg)
	if err != nil {
		return err
	}
	return u.Once(m.t.Context())
}

// install brings a version, which must succeed.
func (m *machine) install(version string) {
	m.t.Helper()
	m.shelf.offer.Version = version
	if err := m.once(); err != nil {
		m.t.Fatalf("installing %s: %v", version, err)
	}
	m.has(version)
}

// has wants a version in place, whole; "" is none.
func (m *machine) has(version string) {
	m.t.Helper()
	got, err := m.inPlace()
	if err != nil || got != version {
		m.t.Fatalf("in place is %q (%v), want %q", got, err, version)
	}
}

// inPlace finds out which version the name that programs use leads to; an error is one that is not whole.
func (m *machine) inPlace() (string, error) { return wholeAt(m.cfg.To, m.cfg.InPlace, m.shelf.dir) }

func wholeAt(to string, inPlace bool, shelf string) (string, error) {
	if inPlace {
		b, err := os.ReadFile(to)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		version := strings.TrimSuffix(strings.TrimPrefix(string(b), "#!/bin/sh\necho "), "\n")
		if err != nil || len(b) == 0 || len(version) != 1 {
			return "", fmt.Errorf("a file with %q: %w", b, err)
		}
		return version, nil
	}
	link, err := os.Readlink(filepath.Join(to, "current"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	version := filepath.Base(link)
	return version, sameTree(filepath.Join(shelf, version, "app-"+version), filepath.Join(to, "current"))
}

func sameTree(want, got string) error {
	return filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		a, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(got, rel))
		if err == nil && string(a) != string(b) {
			err = fmt.Errorf("%s has %d bytes, want %d or others", rel, len(b), len(a))
		}
		return err
	})
}

// journal is what the machine knows.
func (m *machine) journal() *journal {
	m.t.Helper()
	j, err := readInstalled(m.cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	return j
}

// testLog shows what is logged when a test fails.
func testLog(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }
