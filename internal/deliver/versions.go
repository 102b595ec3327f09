package deliver

import (
	"encoding/hex"
	"iter"
	"os"
	"slices"
	"sync"

	"shoal/internal/disk"
	"shoal/piece"
	"shoal/piece/delta"
	"shoal/swarm"
)

// version is an older version of a release that lies on this machine, or something else that may have files of it.
type version struct {
	info  *piece.Info
	path  string      // of the tree, or the file
	here  int64       // bytes of those of its files that are there with the right length: nothing was read to know it
	alien bool        // it is of another app: equal files are all that it may have
	left  *swarm.Left // not nil: a fetch that was stopped has left it, and it has no more than that of its files

	opened sync.Once
	dirs   *disk.Dirs // once a file is asked for
	failed error      // why there is none

	once  sync.Once
	paths map[string]int // its files by path, once they are asked for, which several goroutines do
}

func (v *version) v2() string { return hex.EncodeToString(v.info.V2[:]) }

// open opens one of its files if it is one, or leads to one: others may not even answer.
func (v *version) open(file int) (*os.File, error) {
	if v.left != nil {
		return os.Open(v.left.Path(file))
	}
	v.opened.Do(func() { v.dirs, v.failed = openTree(v.info, v.path) })
	if v.failed != nil {
		return nil, v.failed
	}
	if err := regular(os.Stat(FileOf(v.info, v.path, file))); err != nil {
		return nil, err
	}
	return v.dirs.Open(treeName(v.info, v.path, file))
}

// regular is an error if what was looked at is no file.
func regular(fi os.FileInfo, err error) error {
	if err == nil && !fi.Mode().IsRegular() {
		err = os.ErrInvalid
	}
	return err
}

// equalFiles are the files that have, or had, what a file of another content has.
func (v *version) equalFiles(f *piece.File) iter.Seq[int] {
	return func(yield func(int) bool) {
		first, ok := v.info.FileByRoot(f.Root)
		if !ok || !yield(first) {
			return
		}
		for j := range v.info.Files { // the first may be damaged
			if o := &v.info.Files[j]; j != first && o.Length == f.Length && o.Root == f.Root && !yield(j) {
				return
			}
		}
	}
}

// hasFile says whether all of a file is there, as far as it is known.
func (v *version) hasFile(file int) bool {
	first, end := v.info.FilePieces(file)
	for p := first; v.left != nil && p < end; p++ {
		if !v.left.Has(p) {
			return false
		}
	}
	return true
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

// look adds up what is there of the version, by lengths alone. It is given up early where that is next to nothing: trees are large, and this one is likely another.
func (v *version) look() {
	v.here = 0
	dirs, err := openTree(v.info, v.path)
	if err != nil {
		return
	}
	defer dirs.Close()
	var seen int64
	for i := range v.info.Files {
		f := &v.info.Files[i]
		if f.Symlink != nil {
			continue
		}
		if st, err := dirs.Lstat(treeName(v.info, v.path, i)); err == nil && st.Mode().IsRegular() && st.Size() == f.Length {
			v.here += f.Length
		}
		if seen += f.Length; i >= leastLooked && v.here*8 < seen {
			return
		}
	}
}

// leastLooked is how many files are looked for before a version is taken not to be there.
const leastLooked = 256

// Of a version that is told by its lengths, so much is read to make sure of it: pieces spread over it, or over where it differs from others that have its lengths.
const (
	sampleBytes  = 16 << 20 // at most, but for
	leastSampled = 4        // pieces,
	mostSampled  = 16       // of one that was put there, and
	mostDoubted  = 64       // of one that may be another
)

// sample reads up to most pieces, and says how many of them are right and how many bytes those have that are not. Pieces of files that are not there, or of which no hash is
// known, are left out.
func (v *version) sample(most int, rivals []*version) (right, all int, wrong int64) {
	list := v.telling(rivals)
	n := min(len(list), max(leastSampled, min(most, int(sampleBytes/v.info.PieceLength))))
	for k := range n {
		p := list[(2*k+1)*len(list)/(2*n)]
		ok, known := v.isRight(p)
		if !known {
			continue
		}
		if all++; ok {
			right++
		} else {
			wrong += v.info.PieceLen(p)
		}
	}
	return right, all, wrong
}

// telling are the pieces that tell a version from its rivals, or all if none does.
func (v *version) telling(rivals []*version) (list []int) {
	all := v.info.NumPieces()
	for p := range all {
		if i := v.info.FileOfPiece(p); i >= 0 && slices.ContainsFunc(rivals, func(o *version) bool { return o != v && !o.hasPiece(v.info, i, p) }) {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		for p := range all {
			list = append(list, p)
		}
	}
	return list
}

// isRight says whether piece p is as it should be where it lies; it is not known if nothing of it is there.
func (v *version) isRight(p int) (right, known bool) {
	i := v.info.FileOfPiece(p)
	if i < 0 {
		return false, false
	}
	if _, known := v.info.PieceRoot(p); !known {
		return false, false
	}
	f, err := v.open(i)
	if err != nil {
		return false, false
	}
	defer f.Close()
	return pieceIn(v.info, i, p, f)
}

// pieceIn says whether f has piece p of file i in its place; it is not known if f ends before.
func pieceIn(in *piece.Info, i, p int, f *os.File) (right, known bool) {
	first, _ := in.FilePieces(i)
	b := make([]byte, in.PieceLen(p))
	if _, err := f.ReadAt(b, int64(p-first)*in.PieceLength); err != nil {
		return false, false
	}
	return in.CheckLeaves(p, piece.AppendLeaves(nil, b)), true
}
