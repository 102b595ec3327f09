package deliver

import (
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"shoal/internal/disk"
	"shoal/piece"
)

// twins are the files of a directory that may be files of a content under other names. Lengths and a few of their pieces tell; who copies one hashes all of it.
type twins struct {
	in       *piece.Info
	dirs     *disk.Dirs
	byLength map[int64][]string // paths in dirs
	names    map[string]bool    // all of those that were looked at
	used     atomic.Bool        // something was found
}

// Bounds of what is tried for one file.
const (
	mostTwins  = 8 // files of its length, the likeliest first,
	twinPieces = 4 // of each of which so many pieces are read
)

// twinsIn lists the files below path, which may be a file itself. Those of lengths that no file wanted has, and those that skip says so of, are only good for pieces.
func twinsIn(in *piece.Info, path string, wanted func(i int) bool, skip func(name string, length int64) bool) (*twins, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	lengths := map[int64]bool{}
	for i := range in.Files {
		if f := &in.Files[i]; f.Symlink == nil && f.Length > 0 && wanted(i) {
			lengths[f.Length] = true
		}
	}
	t := &twins{in: in, byLength: map[int64][]string{}, names: map[string]bool{}}
	top := path
	if st, err := os.Stat(path); err != nil {
		return nil, err
	} else if !st.IsDir() {
		top = filepath.Dir(path)
	}
	if t.dirs, err = disk.OpenDirs(top); err != nil {
		return nil, err
	}
	walk(path, maxListed, func(name string, length int64) bool { // what cannot be read has nothing for us
		t.names[name] = true
		if lengths[length] && (skip == nil || !skip(name, length)) {
			t.byLength[length] = append(t.byLength[length], name)
		}
		return true
	})
	for _, list := range t.byLength {
		slices.Sort(list)
	}
	return t, nil
}

func (t *twins) close() { t.dirs.Close() }

// find opens a file that seems to be file i of the content; nil if there is none.
func (t *twins) find(i int) *os.File {
	f := &t.in.Files[i]
	path := pathIn(t.in, i)
	list := slices.Clone(t.byLength[f.Length])
	unlike := func(name string) int {
		switch {
		case name == path || name == filepath.Join(t.in.Name, path):
			return 0
		case filepath.Base(name) == filepath.Base(path):
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b string) int { return unlike(a) - unlike(b) })
	for _, name := range list[:min(len(list), mostTwins)] {
		if o := t.open(name, i, twinPieces, func(right, all int) bool { return right == all }); o != nil {
			return o
		}
	}
	return nil
}

// open opens a file if enough of so many pieces of file i are right in it.
func (t *twins) open(name string, i, most int, enough func(right, all int) bool) *os.File {
	o, err := t.dirs.Open(name)
	if err != nil {
		return nil
	}
	first, end := t.in.FilePieces(i)
	right, all := 0, 0
	for k := range min(end-first, most) {
		p := first
		if k > 0 {
			p += k * (end - 1 - first) / (min(end-first, most) - 1) // the first, the last, and some between them
		}
		if ok, known := pieceIn(t.in, i, p, o); known {
			if all++; ok {
				right++
			}
		}
	}
	if all == 0 || !enough(right, all) {
		o.Close()
		return nil
	}
	t.used.Store(true)
	return o
}

// pathIn is where file i lies in its content; a single file is called as that.
func pathIn(in *piece.Info, i int) string {
	if !in.Dir {
		return in.Name
	}
	return filepath.Join(in.Files[i].Path...)
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}
