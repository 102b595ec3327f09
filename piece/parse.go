package piece

import (
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
)

// Bounds on what is accepted. They keep every sum below 2⁶³ and what a stranger's torrent costs in proportion to its size.
const (
	maxInfo        = 16 << 20
	maxPieceLength = 256 << 20
	maxPieces      = 1 << 21
	maxFiles       = 1 << 18
	maxSpace       = maxPieces * maxPieceLength
)

// rawInfo is an info dictionary whose parts are known but not yet understood.
type rawInfo struct {
	name, nameUTF8  []byte
	pieceLength     int64
	private         int64
	metaVersion     int64
	length          int64 // -1: absent
	pieces          []byte
	attr            []byte
	files, fileTree []byte
	symlink         bool
}

// ParseInfo checks a bencoded info dictionary (BEP 3, 47, 52) and flattens it. The result keeps b, which must not change. Errors wrap ErrBadTorrent.
func ParseInfo(b []byte) (*Info, error) {
	in, err := parseInfo(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadTorrent, err)
	}
	return in, nil
}

func parseInfo(b []byte) (*Info, error) {
	if len(b) > maxInfo {
		return nil, fmt.Errorf("info of %d bytes is larger than %d", len(b), maxInfo)
	}
	raw, err := readInfo(b)
	if err != nil {
		return nil, fmt.Errorf("info: %w", err)
	}
	in := &Info{PieceLength: raw.pieceLength, Private: raw.private == 1, Bytes: b}
	in.Name = string(raw.name)
	if raw.nameUTF8 != nil {
		in.Name = string(raw.nameUTF8)
	}
	if err := in.checkHead(raw); err != nil {
		return nil, err
	}
	if in.Files, err = in.parseHalves(raw); err != nil {
		return nil, err
	}
	if in.Dir {
		set, err := newPaths(in.Files)
		if err != nil {
			return nil, err
		}
		if err := resolveLinks(in.Files, set); err != nil {
			return nil, err
		}
	}
	if err := in.index(); err != nil {
		return nil, err
	}
	if err := in.checkHashes(); err != nil {
		return nil, err
	}
	return in, nil
}

// parseHalves reads the lists of files that there are, and settles whether the torrent is a tree.
func (in *Info) parseHalves(raw *rawInfo) (files []File, err error) {
	var v1, v2 []File
	if raw.fileTree != nil {
		if v2, err = in.parseTree(raw.fileTree); err != nil {
			return nil, fmt.Errorf("file tree: %w", err)
		}
		in.HasV2, in.V2 = true, sha256.Sum256(in.Bytes)
		// BEP 52: a single file is a tree whose one entry has the torrent's name. So does NAME/NAME look, but then the v1 half knows better.
		single := len(v2) == 1 && len(v2[0].Path) == 1 && v2[0].Path[0] == in.Name && v2[0].Symlink == nil
		in.Dir = raw.files != nil || !single
		if !in.Dir {
			v2[0].Path = nil
		}
		files = v2
	}
	if raw.pieces != nil {
		if v1, err = in.parseV1(raw); err != nil {
			return nil, err
		}
		in.HasV1, in.V1 = true, sha1.Sum(in.Bytes)
		in.Dir = in.Dir || raw.files != nil
		if files == nil {
			return v1, nil
		}
		if err := in.joinHalves(v1, v2); err != nil {
			return nil, fmt.Errorf("hybrid halves disagree: %w", err)
		}
	}
	return files, nil
}

// readInfo takes the dictionary apart.
func readInfo(b []byte) (*rawInfo, error) {
	raw := &rawInfo{length: -1}
	c := &cursor{b: b, depth: 1} // as inside a .torrent file
	err := c.dict(false, func(key []byte) (err error) {
		switch string(key) {
		case "name":
			raw.name, err = c.str()
		case "name.utf-8":
			raw.nameUTF8, err = c.str()
		case "piece length":
			raw.pieceLength, err = c.int()
		case "private":
			raw.private, err = c.int()
		case "meta version":
			raw.metaVersion, err = c.int()
		case "length":
			if raw.length, err = c.int(); err == nil && raw.length < 0 {
				err = fmt.Errorf("length %d is negative", raw.length)
			}
		case "pieces":
			raw.pieces, err = c.str()
		case "attr":
			raw.attr, err = c.str()
		case "files":
			raw.files, err = c.raw()
		case "file tree":
			raw.fileTree, err = c.raw()
		case "symlink path":
			raw.symlink = true
			err = c.skip()
		default:
			err = c.skip()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return raw, c.whole()
}

// checkHead checks what does not need the files.
func (in *Info) checkHead(raw *rawInfo) error {
	if raw.name == nil {
		return fmt.Errorf("name is missing")
	}
	if err := cmp.Or(CheckContentName(in.Name), checkPath(in.Name, []string{in.Name})); err != nil {
		return err
	}
	if raw.pieceLength < 1 || raw.pieceLength > maxPieceLength {
		return fmt.Errorf("piece length %d is not within 1…%d", raw.pieceLength, maxPieceLength)
	}
	if raw.metaVersion != 0 && raw.metaVersion != 2 {
		return fmt.Errorf("meta version %d is not known", raw.metaVersion)
	}
	if (raw.metaVersion == 2) != (raw.fileTree != nil) {
		return fmt.Errorf("meta version 2 and a file tree need each other")
	}
	if raw.fileTree != nil && (raw.pieceLength < BlockSize || bits.OnesCount64(uint64(raw.pieceLength)) != 1) {
		return fmt.Errorf("piece length %d is not a power of two of at least %d, as v2 needs", raw.pieceLength, BlockSize)
	}
	if raw.pieces == nil {
		if raw.fileTree == nil {
			return fmt.Errorf("neither pieces nor a file tree")
		}
		return nil
	}
	if len(raw.pieces)%20 != 0 {
		return fmt.Errorf("pieces has %d bytes, not a multiple of 20", len(raw.pieces))
	}
	if (raw.length >= 0) == (raw.files != nil) {
		return fmt.Errorf("need either length or files")
	}
	return nil
}

// joinHalves compares a hybrid's two lists, which must agree (BEP 52, "upgrade path"), and completes the second from the first.
func (in *Info) joinHalves(v1, v2 []File) error {
	if len(v1) != len(v2) {
		return fmt.Errorf("%d files in v1, %d in v2", len(v1), len(v2))
	}
	for i := range v2 {
		a, b := &v1[i], &v2[i]
		switch {
		case !slices.Equal(a.Path, b.Path):
			return fmt.Errorf("file %d is %q in v1, %q in v2", i, a.Name(in), b.Name(in))
		case a.Length != b.Length:
			return fmt.Errorf("%q has %d bytes in v1, %d in v2", a.Name(in), a.Length, b.Length)
		case !slices.Equal(a.Symlink, b.Symlink):
			return fmt.Errorf("%q is a symlink to %q in v1, to %q in v2", a.Name(in), strings.Join(a.Symlink, "/"), strings.Join(b.Symlink, "/"))
		case a.Length > 0 && a.Offset != b.Offset:
			return fmt.Errorf("%q starts at %d in v1, at %d in v2", a.Name(in), a.Offset, b.Offset)
		}
		// What either half says of it holds.
		b.Executable = b.Executable || a.Executable
		b.Hidden = b.Hidden || a.Hidden
	}
	return nil
}

// index adds the files up and builds what finds them.
func (in *Info) index() error {
	var end int64
	for i := range in.Files {
		if f := &in.Files[i]; f.Length > 0 {
			in.content = append(in.content, int32(i))
			in.Length += f.Length
			end = f.Offset + f.Length
		}
	}
	if in.Length == 0 {
		return fmt.Errorf("it has no content")
	}
	if in.HasV2 {
		in.space = end
	} else {
		in.space = in.spaceV1
	}
	if !in.HasV1 {
		in.spaceV1 = in.space
	}
	n := in.piecesIn(in.space)
	if n > maxPieces {
		return fmt.Errorf("%d pieces are more than %d", n, maxPieces)
	}
	in.pieces = int(n)
	if in.HasV2 {
		in.hashesV2.known = make([]atomic.Pointer[[]byte], len(in.Files))
		for _, i := range in.content {
			if in.needsLayer(int(i)) {
				in.hashesV2.missing.Add(1)
			}
		}
	}
	return nil
}

func (in *Info) piecesIn(space int64) int64 { return (space + in.PieceLength - 1) / in.PieceLength }

// checkHashes checks that there are as many v1 hashes as pieces.
func (in *Info) checkHashes() error {
	if !in.HasV1 {
		return nil
	}
	if n := in.piecesIn(in.spaceV1); n != int64(in.pieces) {
		return fmt.Errorf("hybrid halves disagree: %d pieces in v1, %d in v2", n, in.pieces)
	}
	if len(in.hashes) != in.pieces*20 {
		return fmt.Errorf("pieces holds %d hashes, %d bytes need %d", len(in.hashes)/20, in.spaceV1, in.pieces)
	}
	return nil
}

// setAttr takes BEP 47 attributes over; pad and symlink are the caller's.
func (f *File) setAttr(attr []byte) (pad, symlink bool) {
	for _, a := range attr {
		switch a {
		case 'x':
			f.Executable = true
		case 'h':
			f.Hidden = true
		case 'p':
			pad = true
		case 'l':
			symlink = true
		}
	}
	return pad, symlink
}

// readPath reads a list of names. None of them is checked yet.
func (c *cursor) readPath() ([]string, error) {
	var path []string
	err := c.list(func() error {
		s, err := c.str()
		if err != nil {
			return err
		}
		if len(path) == 2*maxComponents { // twice, for the ".." of a symlink
			return fmt.Errorf("a path of more than %d names", len(path))
		}
		path = append(path, string(s))
		return nil
	})
	return path, err
}
