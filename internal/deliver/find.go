package deliver

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/piece"
	"shoal/swarm"
)

// Older versions are looked for where the state directory says that content was put, in what --from names, and beside where the release goes to, in that order.

// Bounds of the search.
const (
	maxVersions = 8  // so many are used,
	maxLooked   = 64 // of so many files and directories that lie in one
	maxHashed   = 3  // and of these so many may be hashed
	maxAlike    = 4  // releases of the app that there is no patch from, and contents of other apps,
	maxRead     = 16 // of so many descriptions that are read
)

// finder looks for older versions of a release.
type finder struct {
	*Request
	patches []release.Artefact
	state   installed
	own     string // where the release goes to
	list    []*version

	known  []*piece.Torrent          // what something may turn out to be and the state directory describes: the release itself, what there is a patch from, other versions of the app
	asked  map[string]*piece.Torrent // descriptions that the repository was asked for, by v2 info hash; nil: it gave none
	seen   map[string]bool           // paths that were looked at
	hashed int                       // of what lies in a directory
	why    string                    // what was looked at last is not used
}

// versions finds older versions of the release.
func (r *Request) versions(ctx context.Context, patches []release.Artefact) ([]*version, error) {
	own, err := filepath.Abs(filepath.Join(r.Dir, r.Release.Tree().Name))
	if err != nil {
		return nil, err
	}
	f := &finder{Request: r, state: installed{r.StateDir}, own: own, asked: map[string]*piece.Torrent{}, seen: map[string]bool{}}
	for _, p := range patches {
		if p.Kind == "P" {
			f.patches = append(f.patches, p)
		}
	}
	f.remembered()
	for _, path := range r.From {
		if err := f.named(ctx, path); err != nil {
			return f.list, err
		}
	}
	_, err = f.inside(ctx, r.Dir)
	f.stopped(ctx)
	return f.list, err
}

// stopped takes what a fetch of an older version into the same directory has left that was stopped.
func (f *finder) stopped(ctx context.Context) {
	for _, p := range f.patches {
		v2, err := parseV2(p.Base)
		if err != nil || len(f.list) == maxVersions || swarm.Staged(f.Dir, v2) == 0 {
			continue
		}
		if t := f.description(ctx, p.Base); t != nil {
			left := swarm.LeftIn(f.Dir, t.Info)
			if n := left.Bytes(); n > 0 {
				f.take(&version{info: t.Info, path: filepath.Dir(left.Path(0)), here: n, left: left})
			}
		}
	}
}

// take adds a version to those that are used.
func (f *finder) take(v *version) {
	f.seen[v.path] = true
	f.list = append(f.list, v)
}

// remembered takes what lies where the state directory says: the release itself and what there is a patch from, then other releases of the app, then what has the length of the release and
// may be the same by another name. Of all that no more is read than a sample.
func (f *finder) remembered() {
	tree := f.Release.Tree()
	f.knows(f.Request.Torrent, tree.V2)
	for i := range f.patches {
		f.knows(nil, f.patches[i].Base)
	}
	bases := len(f.known)
	var ranked [3][]put
	for _, p := range f.state.puts(maxInstalled) {
		rank := f.rank(p.v2)
		ranked[rank] = append(ranked[rank], p)
	}
	for rank, list := range ranked {
		taken, read := 0, 0
		for _, p := range list {
			if rank > 0 && (taken == maxAlike || read == maxRead) {
				break
			}
			if !disk.Exists(p.path) && (rank == 2 || len(f.known) >= bases+maxAlike) { // what is gone may be the description of what lies elsewhere
				continue
			}
			read++
			t := f.knownAs(p.v2)
			if t == nil {
				t = f.state.torrent(p.v2)
			}
			if t == nil || rank == 2 && t.Length != tree.Bytes {
				continue
			}
			if rank < 2 {
				t = f.knows(t, p.v2)
			}
			if f.lies(t, p.path) {
				f.list[len(f.list)-1].alien = rank == 2
				taken++
			}
		}
	}
}

// rank says how much a content that the state directory knows is worth a look: 0 is most.
func (f *finder) rank(v2 string) int {
	switch {
	case v2 == f.Release.Tree().V2 || slices.ContainsFunc(f.patches, func(p release.Artefact) bool { return p.Base == v2 }):
		return 0
	case strings.HasPrefix(f.state.release(v2), f.Release.App+"@"):
		return 1
	}
	return 2
}

// lies takes what was put at path if it is still there.
func (f *finder) lies(t *piece.Torrent, path string) bool {
	if len(f.list) == maxVersions || f.seen[path] || path == f.own && f.Release.IsTree() || f.Doubtful && f.isNamed(path) {
		return false
	}
	st, err := os.Stat(path)
	if err != nil || st.IsDir() != t.Dir {
		return false
	}
	v := &version{info: t.Info, path: path}
	v.look()
	if v.here*2 <= t.Length {
		return false
	}
	right, all, wrong := v.sample(mostSampled, nil)
	switch {
	case right*2 < all || all == 0: // something else, or nothing that can be read
		v.close()
		return false
	case (all-right)*4 > all:
		v.here -= v.here * int64(all-right) / int64(all)
	default:
		v.here -= wrong
	}
	f.take(v)
	return true
}

// isNamed says whether path is one that the user has named, or lies in it.
func (f *finder) isNamed(path string) bool {
	return slices.ContainsFunc(f.From, func(from string) bool {
		absolute, err := filepath.Abs(from)
		return err == nil && (path == absolute || strings.HasPrefix(path, absolute+string(filepath.Separator)))
	})
}

// named looks at what the user has named: a version, or a directory that has some.
func (f *finder) named(ctx context.Context, from string) error {
	path, err := filepath.Abs(from)
	if err != nil {
		return nil
	}
	st, err := os.Stat(path)
	if err != nil || !st.IsDir() && f.Release.IsTree() { // who asked has told of it
		return nil
	}
	f.why = "no version of " + f.Release.App + " is there"
	found := false
	if st.IsDir() {
		if found, err = f.inside(ctx, path); err != nil {
			return err
		}
	}
	if !found && st.IsDir() == f.Release.IsTree() {
		if _, err = f.examine(ctx, path, true); err != nil {
			return err
		}
	}
	if f.Unused != nil && !slices.ContainsFunc(f.list, func(v *version) bool {
		return v.path == path || strings.HasPrefix(v.path, path+string(filepath.Separator))
	}) && path != f.own {
		f.Unused(from, f.why)
	}
	return nil
}

// inside looks at what lies in a directory and may be a version by its name, and says whether something is.
func (f *finder) inside(ctx context.Context, dir string) (found bool, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return false, nil
	}
	var list []string
	if f.Release.IsTree() {
		list = f.treesIn(dir)
	} else {
		list = f.filesIn(dir)
	}
	for _, path := range list {
		is, err := f.examine(ctx, path, false)
		if err != nil {
			return found, err
		}
		found = found || is
	}
	return found, nil
}

// treesIn are the directories in dir that are called APP-VERSION: first those from which there is a patch, then the newest.
func (f *finder) treesIn(dir string) (list []string) {
	all, err := filepath.Glob(filepath.Join(quoteGlob(dir), f.Release.App+"-*"))
	if err != nil {
		return nil
	}
	newestFirst(all)
	for _, patched := range []bool{true, false} {
		for _, path := range all {
			if f.isPatched(filepath.Base(path)) != patched || len(list) == maxLooked {
				continue
			}
			if st, err := os.Stat(path); err == nil && st.IsDir() {
				list = append(list, path)
			}
		}
	}
	return list
}

// isPatched says whether a tree with this name is one from which there is a patch.
func (f *finder) isPatched(name string) bool {
	return slices.ContainsFunc(f.patches, func(p release.Artefact) bool { return name == f.Release.App+"-"+p.From })
}

// filesIn are the files in dir that may be a version: the one with the release's name, the only one, whatever it is called, and those with the length of a version that is known.
func (f *finder) filesIn(dir string) (list []string) {
	tree := f.Release.Tree()
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	entries, _ := d.ReadDir(maxListedFiles)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		st, err := os.Stat(path)
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		switch {
		case e.Name() == tree.Name:
			list = slices.Insert(list, 0, path)
		case len(list) < maxLooked && (len(entries) == 1 || f.hasLength(st.Size())):
			list = append(list, path)
		}
	}
	return list
}

// maxListedFiles is how many entries of a directory are looked at for a single file.
const maxListedFiles = 1000

func (f *finder) hasLength(n int64) bool {
	return slices.ContainsFunc(f.known, func(t *piece.Torrent) bool { return !t.Dir && t.Length == n })
}

// quoteGlob makes a directory's name stand for itself in a pattern.
func quoteGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
