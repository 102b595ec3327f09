package updater

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shoal/internal/disk"
	"shoal/internal/swarmtest"
)

// A power cut undoes what was not synced: names (of a directory, as long as that was not synced) and the bytes of files. The recorder notes before each change what a
// cut at that moment may undo; then each such state is made from a copy of what lay there, and looked at as the machine would find it.

// undo is a change of names that is not durable yet.
type undo struct {
	what     op
	dirs     []string // that must be synced for it to be durable
	replaced string   // where a copy of what the change replaced or removed lies; "": nothing
}

// moment is the disk at one moment before a change.
type moment struct {
	before  op
	copy    string // of everything
	pending []undo
	dirty   []string // files and trees whose bytes are not synced
}

type recorder struct {
	t       *testing.T
	root    string // what is recorded: everything below
	moments []moment
	pending []undo
	synced  []string // trees below stage, or copies, that were
}

func (r *recorder) before(o op) {
	r.t.Helper()
	kept := filepath.Join(tempDir(r.t), "copy")
	r.clone(r.root, kept)
	m := moment{before: o, copy: kept, pending: slices.Clone(r.pending)}
	for _, path := range r.volatile() {
		if !slices.ContainsFunc(r.synced, func(s string) bool { return path == s || strings.HasPrefix(path, s+"/") }) {
			m.dirty = append(m.dirty, path)
		}
	}
	r.moments = append(r.moments, m)

	switch o.what {
	case "mkdir":
		r.pending = append(r.pending, undo{what: o, dirs: []string{filepath.Dir(o.path)}})
	case "link":
		r.pending = append(r.pending, undo{what: o, dirs: []string{filepath.Dir(o.path)}})
	case "rename":
		u := undo{what: o, dirs: []string{filepath.Dir(o.path), filepath.Dir(o.to)}, replaced: r.keep(o.to)}
		r.pending = append(r.pending, u)
		if slices.Contains(r.synced, o.path) {
			r.synced = append(r.synced, o.to)
		} else {
			r.synced = slices.DeleteFunc(r.synced, func(s string) bool { return s == o.to })
		}
	case "remove":
		r.pending = append(r.pending, undo{what: o, dirs: []string{filepath.Dir(o.path)}, replaced: r.keep(o.path)})
		r.synced = slices.DeleteFunc(r.synced, func(s string) bool { return s == o.path })
	case "sync-tree":
		r.synced = append(r.synced, o.path)
	case "sync-dir":
		for i := range r.pending {
			r.pending[i].dirs = slices.DeleteFunc(slices.Clone(r.pending[i].dirs), func(d string) bool { return d == o.path })
		}
		r.pending = slices.DeleteFunc(r.pending, func(u undo) bool { return len(u.dirs) == 0 })
	}
}

// volatile are the files and trees whose bytes may not be on the disk unless they were synced: all that was written in this run. What was in place at its begin was.
func (r *recorder) volatile() (list []string) {
	for _, pattern := range []string{"*/.shoal/stage/*", "*/versions/2", ".*.shoal/stage/*", ".*.shoal/versions/2", ".*.shoal/next", "opt"} {
		found, err := filepath.Glob(filepath.Join(r.root, pattern))
		if err != nil {
			r.t.Fatal(err)
		}
		for _, path := range found {
			if fi, err := os.Lstat(path); err == nil && filepath.Base(path) == "opt" && (fi.IsDir() || !slices.ContainsFunc(r.pending, func(u undo) bool { return u.what.to == path })) && !r.renamedTo(path) {
				continue
			}
			list = append(list, path)
		}
	}
	return list
}

// renamedTo says whether something was moved there in this run.
func (r *recorder) renamedTo(path string) bool {
	return slices.ContainsFunc(r.moments, func(m moment) bool { return m.before.what == "rename" && m.before.to == path })
}

// keep copies what lies at a path, for its return.
func (r *recorder) keep(path string) string {
	if !disk.Exists(path) {
		return ""
	}
	kept := filepath.Join(tempDir(r.t), "kept")
	r.clone(path, kept)
	return kept
}

func (r *recorder) clone(from, to string) {
	r.t.Helper()
	if err := cloneTree(from, to); err != nil {
		r.t.Fatal(err)
	}
}

func cloneTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type() == fs.ModeSymlink:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o755)
	})
}

// state makes the disk as it is after a cut that has undone those changes, and the bytes of what was not synced if so. ok is false where the changes cannot have been
// lost without others.
func (m *moment) state(root, dir string, lost []undo, bytes bool) (ok bool, err error) {
	if err := cloneTree(m.copy, dir); err != nil {
		return false, err
	}
	at := func(path string) string { return dir + strings.TrimPrefix(path, root) }
	if bytes {
		for _, path := range m.dirty {
			err := filepath.WalkDir(at(path), func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				return os.Truncate(path, 0)
			})
			if err != nil {
				return false, err
			}
		}
	}
	for _, u := range slices.Backward(lost) {
		switch u.what.what {
		case "mkdir", "link":
			if !disk.Exists(at(u.what.path)) {
				return false, nil
			}
			err = os.RemoveAll(at(u.what.path))
		case "rename":
			if disk.Exists(at(u.what.path)) || !disk.Exists(at(u.what.to)) {
				return false, nil
			}
			err = os.Rename(at(u.what.to), at(u.what.path))
			if err == nil && u.replaced != "" {
				err = cloneTree(u.replaced, at(u.what.to))
			}
		case "remove":
			if u.replaced == "" || disk.Exists(at(u.what.path)) || !disk.Exists(filepath.Dir(at(u.what.path))) {
				return false, nil
			}
			err = cloneTree(u.replaced, at(u.what.path))
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// losses are what a cut may undo: as a file system with one journal does, the last changes; as one without does, all of one directory.
func (m *moment) losses() (all [][]undo) {
	for n := range len(m.pending) + 1 {
		all = append(all, m.pending[n:])
	}
	dirs := map[string][]undo{}
	for _, u := range m.pending {
		for _, d := range u.dirs {
			dirs[d] = append(dirs[d], u)
		}
	}
	for _, lost := range dirs {
		all = append(all, lost)
	}
	return all
}

func TestPowerCutAtEachStep(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			m := prepare(t, s.inPlace, s.first, s.bad)
			r := &recorder{t: t, root: filepath.Dir(m.cfg.To)}
			if err := os.MkdirAll(r.root, 0o755); err != nil {
				t.Fatal(err)
			}
			u, err := newUpdater(m.cfg, r.before)
			if err != nil {
				t.Fatal(err)
			}
			if err := u.Once(t.Context()); (err == nil) == s.bad {
				t.Fatal(err)
			}
			m.has(s.want)
			states, stride := 0, 11
			if swarmtest.Required("interop") {
				stride = 1
			}
			for _, moment := range r.moments {
				for _, lost := range moment.losses() {
					for _, bytes := range []bool{false, true} {
						if bytes && len(moment.dirty) == 0 {
							continue
						}
						dir := filepath.Join(tempDir(t), "cut")
						ok, err := moment.state(r.root, dir, lost, bytes)
						if err != nil {
							t.Fatal(err)
						}
						if !ok {
							continue
						}
						states++
						cut := &machine{t: t, shelf: m.shelf, cfg: m.cfg}
						cut.cfg.To = filepath.Join(dir, "opt")
						if v, err := cut.inPlace(); err != nil || v != "2" && v != s.first {
							t.Fatalf("power cut before %v, lost %v, bytes %v: in place is %q (%v)", moment.before, lost, bytes, v, err)
						}
						if states%stride != 0 { // that what is in place is whole matters for each
							continue
						}
						settle(t, cut, moment.before.what+" "+moment.before.path, s.want, s.bad)
					}
				}
			}
			t.Logf("%d moments, %d states of the disk", len(r.moments), states)
		})
	}
}
