package piece

import (
	"encoding/hex"
	"errors"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/anacrolix/torrent/metainfo"
)

// BlockSize is a leaf of a BEP 52 tree, and the block that BEP 3 peers ask for.
const BlockSize = 16 << 10

type (
	Hash20 = metainfo.Hash // a SHA-1
	Hash32 = [32]byte      // a SHA-256
)

var (
	// ErrBadTorrent is wrapped by every error about a torrent that is malformed or unsafe.
	ErrBadTorrent = errors.New("bad torrent")
	// ErrCorrupt is wrapped by every error about bytes or hashes that do not match a torrent.
	ErrCorrupt = errors.New("does not match its hash")
)

// Info is an info dictionary, checked and flattened into one piece space. It does not change after ParseInfo, but for piece layers that SetLayer
// adds; all methods are safe for concurrent use.
type Info struct {
	Name         string
	Dir          bool // a tree: content lies at Name/Path; else the one file is Name
	PieceLength  int64
	Length       int64 // bytes of content, without gaps
	Private      bool  // BEP 27
	HasV1, HasV2 bool
	V1           Hash20 // info hash, if HasV1
	V2           Hash32 // info hash, if HasV2
	Files        []File // in the order of the piece space, with empty files and symlinks, without pads
	Bytes        []byte // the bencoded info dictionary exactly as received; not to be changed

	content  []int32 // the files with content; their ends ascend strictly
	space    int64   // where content ends (v1: with what pads follow)
	spaceV1  int64   // the same in v1 terms; a hybrid may be padded up to its last piece
	pieces   int
	hashes   []byte // v1: 20 bytes for each piece
	hashesV2 layers
}

// A File of a torrent.
type File struct {
	Path       []string // below Info.Name; nil in a single-file torrent
	Length     int64
	Offset     int64    // in the piece space
	Executable bool     // BEP 47, attr x
	Hidden     bool     // BEP 47, attr h
	Symlink    []string // BEP 47: the target from the tree's root, without ".."; "." alone is the root. Nil: no symlink
	Root       Hash32   // BEP 52, "pieces root"; v2 and hybrid, Length > 0
}

// layers are the known piece layers of the files that need one (longer than a piece).
type layers struct {
	known   []atomic.Pointer[[]byte] // by index of file
	missing atomic.Int64
	once    sync.Once
	byRoot  []int32 // files with content, by root; made on first use
}

// Name is the file's slash-separated path including the torrent's name.
func (f *File) Name(in *Info) string {
	if len(f.Path) == 0 {
		return in.Name
	}
	return in.Name + "/" + strings.Join(f.Path, "/")
}

// Key is what a content is called in URLs, events and directories: the hex v2 info hash, or the v1 hash if it has no other.
func (in *Info) Key() string { return Key(in.V1, in.V2, in.HasV2) }

// Key is [Info.Key] where only the hashes are known.
func Key(v1 Hash20, v2 Hash32, hasV2 bool) string {
	if hasV2 {
		return hex.EncodeToString(v2[:])
	}
	return hex.EncodeToString(v1[:])
}

// NumPieces is how many pieces there are; at least 1.
func (in *Info) NumPieces() int { return in.pieces }

// Space is the end of the piece space.
func (in *Info) Space() int64 { return in.space }

// PieceSpan is where piece p starts, and how many bytes of it to ask for.
func (in *Info) PieceSpan(p int) (off, n int64) {
	return int64(p) * in.PieceLength, in.PieceLen(p)
}

// PieceLen is how many bytes of piece p to ask for: v2 and hybrid: up to the end of its file; v1: up to the end of the space.
func (in *Info) PieceLen(p int) int64 {
	off, end := int64(p)*in.PieceLength, in.space
	if in.HasV2 {
		if f := in.FileOfPiece(p); f >= 0 {
			end = in.Files[f].Offset + in.Files[f].Length
		}
	}
	return min(in.PieceLength, end-off)
}

// PieceLenV1 is the length of piece p with its pads, over which its SHA-1 is taken, and up to which v1 peers may ask.
func (in *Info) PieceLenV1(p int) int64 {
	return min(in.PieceLength, in.spaceV1-int64(p)*in.PieceLength)
}

// TellsModes says whether the torrent tells which files are executable. One in which none is was likely made by a tool that does not, such as
// mktorrent: modes are then nobody's mistake.
func (in *Info) TellsModes() bool {
	for i := range in.Files {
		if in.Files[i].Executable {
			return true
		}
	}
	return false
}

// FileOfPiece is the first file with content in piece p (v2 and hybrid: the only one), or -1 for a v1 piece that is all padding.
func (in *Info) FileOfPiece(p int) int {
	off := int64(p) * in.PieceLength
	i := in.contentAt(off)
	if i == len(in.content) || in.Files[in.content[i]].Offset >= off+in.PieceLength {
		return -1
	}
	return int(in.content[i])
}

// contentAt is the index in in.content of the first file that ends behind off.
func (in *Info) contentAt(off int64) int {
	return sort.Search(len(in.content), func(i int) bool {
		f := &in.Files[in.content[i]]
		return f.Offset+f.Length > off
	})
}

// A Segment is a stretch of content inside one file.
type Segment struct {
	File       int   // index into Info.Files
	FileOffset int64 // in the file
	Offset     int64 // in the piece space
	Length     int64
}

// Segments yields each stretch of content within [off, off+n) of the piece space, in order. Gaps are left out.
func (in *Info) Segments(off, n int64) iter.Seq[Segment] {
	return func(yield func(Segment) bool) {
		for i := in.contentAt(off); i < len(in.content); i++ {
			f := &in.Files[in.content[i]]
			start, end := max(off, f.Offset), min(off+n, f.Offset+f.Length)
			if start >= end {
				return
			}
			if !yield(Segment{File: int(in.content[i]), FileOffset: start - f.Offset, Offset: start, Length: end - start}) {
				return
			}
		}
	}
}

// FilePieces are the pieces first ≤ p < end that hold content of file i; first == end if it has none.
func (in *Info) FilePieces(i int) (first, end int) {
	f := &in.Files[i]
	first = int(f.Offset / in.PieceLength)
	if f.Length == 0 {
		return first, first
	}
	return first, int((f.Offset + f.Length + in.PieceLength - 1) / in.PieceLength)
}

// FileByRoot finds a file by its pieces root. Equal files share a root; any of them is returned.
func (in *Info) FileByRoot(root Hash32) (file int, ok bool) {
	if !in.HasV2 {
		return 0, false
	}
	files := in.filesByRoot(root)
	if len(files) == 0 {
		return 0, false
	}
	return int(files[0]), true
}

// filesByRoot are all files with content that have this root.
func (in *Info) filesByRoot(root Hash32) []int32 {
	v := &in.hashesV2
	v.once.Do(func() {
		v.byRoot = slices.Clone(in.content)
		slices.SortFunc(v.byRoot, func(a, b int32) int { return compare32(&in.Files[a].Root, &in.Files[b].Root) })
	})
	i, _ := slices.BinarySearchFunc(v.byRoot, root, func(f int32, root Hash32) int { return compare32(&in.Files[f].Root, &root) })
	end := i
	for end < len(v.byRoot) && in.Files[v.byRoot[end]].Root == root {
		end++
	}
	return v.byRoot[i:end]
}
