package updater

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"shoal/piece"
)

// A version that lies in versions/ already is put right there, file by file: somebody may have put something of his own beside what is the release's, and have no other
// copy of it. So nothing of his is ever moved, but what lies where the release has something of another type: that gets a name of its own beside it.

// mending puts one version right.
type mending struct {
	drive   *drive
	info    *piece.Info
	base    string   // of all that follows: what it has in common, since versions/ may be a symlink
	root    *os.Root // the same
	content string   // where what was staged of it lies
	version string   // and the version itself
	seen    map[string]bool
	changed map[string]bool // directories whose names have changed
	aside   [][2]string     // what was in the way, and where it lies now
}

// mend puts a version of ours right with what was staged of it: what is right stays as it is, all else is replaced by renames. Stopped at any moment it has lost nothing, and is
// begun again. It says what was in the way, and where that lies now.
func (l *layout) mend(ctx context.Context, version, content string, info *piece.Info) (aside [][2]string, err error) {
	if err := l.drive.syncTree(content); err != nil {
		return nil, err
	}
	m := mending{drive: l.drive, info: info, seen: map[string]bool{}, changed: map[string]bool{}}
	if content, err = filepath.EvalSymlinks(content); err != nil {
		return nil, err
	}
	at, err := filepath.EvalSymlinks(l.version(version))
	if err != nil {
		return nil, err
	}
	for m.base = filepath.Dir(at); !filepath.IsLocal(m.content) && err == nil; m.base = filepath.Dir(m.base) {
		m.content, err = filepath.Rel(filepath.Dir(m.base), content)
	}
	if err != nil {
		return nil, err
	}
	if m.version, err = filepath.Rel(m.base, at); err != nil {
		return nil, err
	}
	if m.root, err = os.OpenRoot(m.base); err != nil {
		return nil, err
	}
	defer m.root.Close()
	for i := range info.Files {
		if err := m.makeWay(i); err != nil {
			return m.aside, err
		}
	}
	if !info.Dir {
		at = filepath.Join(at, info.Name)
	}
	report, err := piece.Verify(ctx, info, at, piece.VerifyConfig{})
	if err != nil {
		return m.aside, err
	}
	for _, f := range report.Files {
		if err := m.replace(f.File); err != nil {
			return m.aside, err
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(m.changed)) {
		if err := l.drive.syncDir(filepath.Join(m.base, dir)); err != nil {
			return m.aside, err
		}
	}
	return m.aside, nil
}

// name is the path of a file in a version.
func (m *mending) name(file int) string {
	if !m.info.Dir {
		return m.info.Name
	}
	return filepath.Join(m.info.Files[file].Path...)
}

// makeWay sees to it that a file can be put in its place: the directories above it are some, and nothing of another type lies there.
func (m *mending) makeWay(file int) error {
	name := m.name(file)
	if err := m.makeDir(filepath.Dir(name)); err != nil {
		return err
	}
	want := fs.FileMode(0)
	if m.info.Files[file].Symlink != nil {
		want = fs.ModeSymlink
	}
	path := filepath.Join(m.version, name)
	if fi, err := m.root.Lstat(path); err == nil && fi.Mode().Type() != want {
		return m.setAside(path)
	}
	return nil
}

// makeDir makes a directory of the version that may be there.
func (m *mending) makeDir(name string) error {
	if name == "." || m.seen[name] {
		return nil
	}
	if err := m.makeDir(filepath.Dir(name)); err != nil {
		return err
	}
	path := filepath.Join(m.version, name)
	fi, err := m.root.Lstat(path)
	if err == nil && !fi.IsDir() {
		err = m.setAside(path)
	}
	if err != nil || !fi.IsDir() {
		m.drive.tell("mkdir", filepath.Join(m.base, path), "")
		if err := m.root.Mkdir(path, 0o755); err != nil {
			return err
		}
		m.changed[filepath.Dir(path)] = true
	}
	m.seen[name] = true
	return nil
}

// setAside gives what lies where the release has something else a name of its own.
func (m *mending) setAside(path string) error {
	to := path + ".kept"
	for n := 2; m.taken(to); n++ {
		to = fmt.Sprintf("%s.kept%d", path, n)
	}
	if err := m.rename(path, to); err != nil {
		return err
	}
	m.aside = append(m.aside, [2]string{filepath.Join(m.base, path), filepath.Join(m.base, to)})
	return nil
}

// taken says whether a name is that of something, or will be.
func (m *mending) taken(path string) bool {
	if _, err := m.root.Lstat(path); err == nil {
		return true
	}
	name, err := filepath.Rel(m.version, path)
	return err != nil || slices.ContainsFunc(m.info.Files, func(f piece.File) bool {
		for i := range f.Path {
			if filepath.Join(f.Path[:i+1]...) == name {
				return true
			}
		}
		return false
	})
}

// replace puts a file that was staged in its place.
func (m *mending) replace(file int) error {
	name := m.name(file)
	return m.rename(filepath.Join(m.content, name), filepath.Join(m.version, name))
}

func (m *mending) rename(from, to string) error {
	m.drive.tell("rename", filepath.Join(m.base, from), filepath.Join(m.base, to))
	m.changed[filepath.Dir(from)], m.changed[filepath.Dir(to)] = true, true
	return m.root.Rename(from, to)
}
