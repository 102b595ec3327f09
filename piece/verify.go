package piece

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
)

// VerifyConfig says how to compare content with a torrent. The zero value compares everything.
type VerifyConfig struct {
	// Workers is how many goroutines read and hash. Zero means GOMAXPROCS.
	Workers int
	// Progress is told how many bytes were read, from many goroutines.
	Progress func(done, total int64)
	// Leaves gets the leaf hashes of the pieces that are good; see BuildConfig.Leaves.
	Leaves io.WriterAt
	// Select leaves files out. Nil takes all.
	Select func(file int) bool
}

// Verify compares what lies at path, the one file or the tree's directory, with a torrent, and names what differs: content, lengths, types, symlinks
// and, if the torrent tells it, the owner's executable bit. Files of the wrong length are read too: what is good in them need not be
// fetched again. Other files in the tree are none of its business.
// Piece layers that were not known are, after all of a file was good. A hybrid whose halves describe different bytes is ErrBadTorrent.
func Verify(ctx context.Context, in *Info, path string, c VerifyConfig) (*Report, error) {
	if fi, err := os.Stat(path); err == nil && fi.IsDir() != in.Dir {
		return nil, fmt.Errorf("%s is %s, but the torrent is %s", path, kind(fi.Mode()), map[bool]string{true: "a tree", false: "a single file"}[in.Dir])
	}
	v := verification{in: in, path: path, c: c, pieces: make([]pieceState, in.pieces), files: make([]FileReport, len(in.Files)), stats: make([]FileStat, len(in.Files)),
		selected: make([]bool, len(in.Files)), modes: in.TellsModes()}
	v.src = newSource(in, v.pathOf)
	v.look()
	v.learnLayers()
	run := hashRun{
		in: in, src: v.src, v1: in.HasV1, v2: in.HasV2, workers: c.Workers, leaves: c.Leaves, progress: c.Progress,
		want:  func(p int) bool { return v.pieces[p] == pieceWanted },
		piece: v.piece,
		changed: func(file int, err error) error {
			v.unreadable(file, err)
			return nil
		},
	}
	for p, state := range v.pieces {
		if state == pieceWanted {
			off, n := in.PieceSpan(p)
			for s := range in.Segments(off, n) {
				run.total += s.Length
			}
		}
	}
	if err := run.run(ctx); err != nil {
		return nil, err
	}
	if err := v.settleLayers(); err != nil {
		return nil, err
	}
	return v.report(), nil
}

type pieceState uint8

const (
	pieceIdle      pieceState = iota // no selected file needs it
	pieceWanted                      // to be read
	pieceGood                        //
	pieceBad                         //
	pieceUnchecked                   //
)

// A verification is one run of Verify. Each entry of pieces is written by the one worker that has it.
type verification struct {
	in       *Info
	path     string
	c        VerifyConfig
	src      *source
	selected []bool
	modes    bool // the torrent tells which files are executable
	stats    []FileStat
	pieces   []pieceState
	roots    map[int][]byte // of the files whose piece layer is not known yet: what it seems to be

	mu    sync.Mutex
	files []FileReport // by index of file; State 0: good so far
}

func (v *verification) pathOf(i int) string {
	return filepath.Join(v.path, filepath.Join(v.in.Files[i].Path...))
}

// look compares what can be seen without reading, and decides which pieces are to be read.
func (v *verification) look() {
	for i := range v.in.Files {
		v.selected[i] = v.c.Select == nil || v.c.Select(i)
		if v.selected[i] {
			v.files[i].State, v.files[i].Err = v.lookAt(i)
			v.markPieces(i, pieceWanted)
		}
	}
	for i := range v.in.Files {
		if !v.selected[i] && v.shares(i) {
			if state, _ := v.lookAt(i); state != 0 && state != WrongMode {
				v.src.files[i].skip = true
				v.remarkPieces(i, pieceUnchecked)
			}
		}
	}
	for i := range v.in.Files {
		if !v.selected[i] || !v.lost(i) {
			continue
		}
		v.src.files[i].skip = true
		v.remarkPieces(i, pieceBad)
	}
}

// lost reports whether file i is in no state to be read.
func (v *verification) lost(i int) bool {
	switch v.files[i].State {
	case 0, WrongMode, Short, Long:
		return false
	}
	return true
}

func (v *verification) markPieces(i int, state pieceState) {
	first, end := v.in.FilePieces(i)
	for p := first; p < end; p++ {
		v.pieces[p] = state
	}
}

// remarkPieces changes the pieces of file i that are needed at all.
func (v *verification) remarkPieces(i int, state pieceState) {
	first, end := v.in.FilePieces(i)
	for p := first; p < end; p++ {
		if v.pieces[p] != pieceIdle {
			v.pieces[p] = state
		}
	}
}

// shares reports whether a selected file needs a piece that file i, which is left out, has a part in.
func (v *verification) shares(i int) bool {
	first, end := v.in.FilePieces(i)
	return first < end && (v.pieces[first] != pieceIdle || v.pieces[end-1] != pieceIdle)
}

// lookAt compares file i with what is there, without reading it.
func (v *verification) lookAt(i int) (State, error) {
	f, path := &v.in.Files[i], v.pathOf(i)
	stat := os.Lstat
	if !v.in.Dir {
		stat = os.Stat // the root may be a symlink, as for Build
	}
	fi, err := stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return Missing, nil
	case err != nil:
		return Unreadable, err
	}
	v.stats[i] = statOf(fi)
	v.src.files[i].want = v.stats[i]
	v.src.files[i].sparse = isSparse(fi) && fi.Size() >= f.Length // behind the end is no hole
	if f.Symlink != nil {
		return v.lookAtLink(f, path, fi)
	}
	switch {
	case !fi.Mode().IsRegular():
		return WrongType, nil
	case fi.Size() < f.Length:
		return Short, nil
	case fi.Size() > f.Length:
		return Long, nil
	case runtime.GOOS != "windows" && v.modes && (fi.Mode()&0o100 != 0) != f.Executable:
		return WrongMode, nil
	}
	return 0, nil
}

func (v *verification) lookAtLink(f *File, path string, fi fs.FileInfo) (State, error) {
	if fi.Mode()&fs.ModeSymlink == 0 {
		return WrongType, nil
	}
	text, err := os.Readlink(path)
	if err != nil {
		return Unreadable, err
	}
	target, err := textTarget(f.Path, text, func([]string) bool { return true })
	if err != nil || !slices.Equal(target, f.Symlink) {
		return WrongLink, nil
	}
	return 0, nil
}

// learnLayers makes room for the piece layers that are not known.
func (v *verification) learnLayers() {
	v.roots = map[int][]byte{}
	for _, i := range v.in.content {
		if i := int(i); v.in.HasV2 && v.in.needsLayer(i) && v.in.Layer(i) == nil && v.selected[i] && !v.lost(i) {
			first, end := v.in.FilePieces(i)
			v.roots[i] = make([]byte, (end-first)*32)
		}
	}
}

// piece compares one piece. It is called by many workers.
func (v *verification) piece(p int, h *pieceHash) (keep bool, err error) {
	in := v.in
	v.pieces[p] = pieceBad
	if h.err != nil {
		v.unreadable(h.file, h.err)
		return false, nil
	}
	goodV1 := !in.HasV1 || h.v1 == in.PieceHashV1(p)
	if !in.HasV2 {
		if goodV1 {
			v.pieces[p] = pieceGood
		}
		return false, nil
	}
	i := in.FileOfPiece(p)
	root := rootOf(h.leaves, in.rootHeight(i), 0)
	good := goodV1
	if layer := v.roots[i]; layer != nil {
		first, _ := in.FilePieces(i)
		copy(layer[(p-first)*32:], root[:])
	} else {
		want, _ := in.PieceRoot(p)
		good = root == want
		if good && !goodV1 {
			return false, fmt.Errorf("%w: its v1 and v2 halves disagree about piece %d", ErrBadTorrent, p)
		}
	}
	if good {
		v.pieces[p] = pieceGood
	}
	return good, nil
}

// unreadable notes why file i could not be read, unless its state tells already.
func (v *verification) unreadable(i int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if f := &v.files[i]; v.selected[i] && (f.State == 0 || f.State == WrongMode) {
		f.State, f.Err = Unreadable, err
	}
}

// settleLayers finds out whether what was read of a file without a known piece layer is what its root stands for. A hybrid's pieces were compared by
// SHA-1 already; without that, nothing tells which piece of a bad file is good.
func (v *verification) settleLayers() error {
	for i, layer := range v.roots {
		first, end := v.in.FilePieces(i)
		err := v.in.SetLayer(i, layer)
		allV1 := !slices.ContainsFunc(v.pieces[first:end], func(s pieceState) bool { return s != pieceGood })
		switch {
		case !v.in.HasV1 && err != nil:
			v.remarkPieces(i, pieceBad)
		case v.in.HasV1 && allV1 != (err == nil):
			return fmt.Errorf("%w: its v1 and v2 halves disagree about %q", ErrBadTorrent, v.in.Files[i].Name(v.in))
		}
	}
	return nil
}
