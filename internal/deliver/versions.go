package deliver

import (
	"cmp"
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/piece"
	"shoal/piece/delta"
)

// version is an older version of a release that lies on this machine, or something else that may have files of it.
type version struct {
	info *piece.Info
	path string // of the tree, or the file
	here int64  // bytes of those of its files that are there with the right length: nothing was read to know it

	opened sync.Once
	dirs   *disk.Dirs // once a file is asked for
	failed error      // why there is none

	once  sync.Once
	paths map[string]int // its files by path, once they are asked for, which several goroutines do
}

func (v *version) v2() string { return hex.EncodeToString(v.info.V2[:]) }

// open opens one of its files.
func (v *version) open(file int) (*os.File, error) {
	v.opened.Do(func() { v.dirs, v.failed = openTree(v.info, v.path) })
	if v.failed != nil {
		return nil, v.failed
	}
	return v.dirs.Open(treeName(v.info, v.path, file))
}

// source is one of its files, for a patch. What cannot be read of it are zeros: a patch says nothing that hangs on old bytes, so what is made of other files is right all the same,
// and what is made of this one is found out by the tree's hashes.
func (v *version) source(file int) (delta.Source, error) {
	f, err := v.open(file)
	if err != nil {
		return lost{}, nil
	}
	return remains{f}, nil
}

// remains is a file that may have lost some.
type remains struct{ *os.File }

func (r remains) ReadAt(b []byte, off int64) (int, error) {
	n, _ := r.File.ReadAt(b, off)
	clear(b[n:])
	return len(b), nil
}

// lost is a file that is gone.
type lost struct{}

func (lost) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	return len(b), nil
}

func (lost) Close() error { return nil }

// close lets go of what open has opened.
func (v *version) close() {
	if v.dirs != nil {
		v.dirs.Close()
	}
}

// maxVersions bounds how many places are looked at for older versions.
const maxVersions = 8

// versions finds older versions of the release: in the directories that were named, where the release goes to, and where the state directory says that content
// was put. One that the state directory does not describe is hashed.
func (r *Request) versions(ctx context.Context, patches []release.Artefact) (list []*version, err error) {
	state := installed{r.StateDir}
	places := state.places(maxInstalled)
	for _, path := range r.placesOf(places) {
		if len(list) == maxVersions {
			break
		}
		var v *version
		if !r.Doubtful {
			v = r.recognize(state, places, path, patches)
		}
		if v == nil {
			if v, err = r.examine(ctx, path, patches); err != nil {
				return nil, err
			}
		}
		if v != nil && v.here > 0 {
			list = append(list, v)
		}
	}
	return list, nil
}

// placesOf lists where older versions may lie, without repetition. The place where the release goes to is none of them if that is a tree.
func (r *Request) placesOf(known map[string]string) (list []string) {
	tree := r.Release.Tree()
	own, err := filepath.Abs(filepath.Join(r.Dir, tree.Name))
	if err != nil {
		return nil
	}
	add := func(path string) {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return
		}
		if info, err := os.Stat(absolute); err != nil || info.IsDir() != r.Release.IsTree() || absolute == own && r.Release.IsTree() || slices.Contains(list, absolute) {
			return
		}
		list = append(list, absolute)
	}
	for _, dir := range append(slices.Clone(r.From), r.Dir) {
		if !r.Release.IsTree() {
			add(dir)
			add(filepath.Join(dir, tree.Name))
			if inside, err := os.ReadDir(dir); err == nil && len(inside) == 1 { // whatever it was called
				add(filepath.Join(dir, inside[0].Name()))
			}
			continue
		}
		inside, err := filepath.Glob(filepath.Join(quoteGlob(dir), r.Release.App+"-*"))
		if err == nil {
			newestFirst(inside)
			for _, path := range inside {
				add(path)
			}
		}
		if len(inside) == 0 && dir != r.Dir {
			add(dir)
		}
	}
	for path := range known {
		if base := filepath.Base(path); base == tree.Name || strings.HasPrefix(base, r.Release.App+"-") {
			add(path)
		}
	}
	return list
}

// quoteGlob makes a directory's name stand for itself in a pattern.
func quoteGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// recognize finds the description of what lies at path in the state directory; nil if there is none that fits.
func (r *Request) recognize(state installed, places map[string]string, path string, patches []release.Artefact) *version {
	names := []string{places[path]}
	for _, p := range patches {
		names = append(names, p.Base)
	}
	for _, v2 := range names {
		if v2 == "" {
			continue
		}
		if t := state.torrent(v2); t != nil {
			v := &version{info: t.Info, path: path}
			if v.look(); v.here*2 > t.Length {
				return v
			}
		}
	}
	return nil
}

// look adds up what is there of the version.
func (v *version) look() {
	v.here = 0
	dirs, err := openTree(v.info, v.path)
	if err != nil {
		return
	}
	defer dirs.Close()
	for i := range v.info.Files {
		f := &v.info.Files[i]
		if f.Symlink != nil {
			continue
		}
		if st, err := dirs.Lstat(treeName(v.info, v.path, i)); err == nil && st.Mode().IsRegular() && st.Size() == f.Length {
			v.here += f.Length
		}
	}
}

// examine hashes what lies at path. Under the name that a patch's version had it has that version's info hash, if it is unchanged.
func (r *Request) examine(ctx context.Context, path string, patches []release.Artefact) (*version, error) {
	names := []string{filepath.Base(path)}
	if r.Release.IsTree() {
		names = names[:0]
		for _, p := range patches {
			names = append(names, r.Release.App+"-"+p.From)
		}
		if i := slices.Index(names, filepath.Base(path)); i > 0 { // the likeliest first
			names[0], names[i] = names[i], names[0]
		}
		if len(names) == 0 {
			names = []string{"old"}
		}
	}
	var v *version
	progress := r.readingAs("reading " + path)
	for _, name := range names {
		t, _, err := piece.Build(ctx, path, piece.BuildConfig{Name: name, Progress: progress})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil || !t.HasV2 {
			return nil, nil // something that cannot be described is no version of anything
		}
		v = &version{info: t.Info, path: path, here: t.Length}
		if slices.ContainsFunc(patches, func(p release.Artefact) bool { return p.Base == v.v2() }) {
			return v, nil
		}
	}
	return cmp.Or(r.changed(ctx, v, patches), v), nil
}

// readingAs begins a work of reading; nil if nobody wants to know how far it is.
func (r *Request) readingAs(what string) func(done, total int64) {
	if r.Reading == nil {
		return nil
	}
	return r.Reading(what)
}

// changed is the version that v was before somebody changed some of it, which its name tells: a patch from it makes all but that. A file is the same
// version under another name. It is nil if there is none, or little of it is left.
func (r *Request) changed(ctx context.Context, v *version, patches []release.Artefact) *version {
	for i := range patches {
		if p := &patches[i]; p.Kind == "P" && (!r.Release.IsTree() || r.Release.App+"-"+p.From == filepath.Base(v.path)) {
			if was := r.before(ctx, v, p); was != nil {
				return was
			}
		}
	}
	return nil
}

// before is the version that a patch is from, as far as v has it; nil if that is little.
func (r *Request) before(ctx context.Context, v *version, patch *release.Artefact) *version {
	packed, err := r.Release.Trust.MetainfoOf(ctx, r.Release.Found, patch.Base)
	if err != nil {
		return nil
	}
	t, err := readMetainfo(packed)
	if err != nil || hex.EncodeToString(t.V2[:]) != patch.Base || t.Dir != v.info.Dir {
		return nil
	}
	was := &version{info: t.Info, path: v.path}
	for i := range was.info.Files {
		j := 0
		if r.Release.IsTree() {
			j = v.fileAt(was.info, i)
		}
		if j >= 0 && v.info.Files[j].Root == was.info.Files[i].Root {
			was.here += was.info.Files[i].Length
		}
	}
	if was.here*2 < t.Length {
		return nil
	}
	return was
}
