package blocks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"shoal/piece"
	"shoal/piece/delta"
)

const magic = "shoal blocks 1\n"

// perBlock is how many bytes an index has for each block.
const perBlock = 4 + 32

// ErrBadIndex is wrapped by errors about the bytes of an index.
var ErrBadIndex = errors.New("not an index of the blocks of this content")

// Index is what the blocks of some content look like.
type Index struct {
	info  *piece.Info
	weak  []uint32
	leafs []piece.Hash32
	first map[int]int // by file with more than one block: its first block in weak and leafs
}

// indexed says whether an index has file i: of equal files the first.
func indexed(in *piece.Info, i int) bool {
	f := &in.Files[i]
	if f.Symlink != nil || f.Length <= piece.BlockSize {
		return false
	}
	first, ok := in.FileByRoot(f.Root)
	return ok && first == i
}

func blocksOf(length int64) int { return int((length + piece.BlockSize - 1) / piece.BlockSize) }

// layout says where each file's blocks are, and how many there are.
func layout(in *piece.Info) (first map[int]int, n int) {
	first = make(map[int]int)
	for i := range in.Files {
		if indexed(in, i) {
			first[i] = n
			n += blocksOf(in.Files[i].Length)
		}
	}
	return first, n
}

// Size is how many bytes the index of some content has.
func Size(in *piece.Info) int64 {
	_, n := layout(in)
	return int64(len(magic)+32) + int64(n)*perBlock
}

// Write reads a tree and writes its index. Progress, if it is not nil, is told how many bytes of those that it reads were read.
func Write(ctx context.Context, w io.Writer, tree delta.Tree, progress func(done, total int64)) error {
	if _, err := w.Write(append([]byte(magic), tree.Info.V2[:]...)); err != nil {
		return err
	}
	var done, total int64
	for i := range tree.Info.Files {
		if indexed(tree.Info, i) {
			total += tree.Info.Files[i].Length
		}
	}
	read := func(n int) {
		if done += int64(n); progress != nil {
			progress(done, total)
		}
	}
	read(0)
	for i := range tree.Info.Files {
		if !indexed(tree.Info, i) {
			continue
		}
		if err := writeFile(ctx, w, tree, i, read); err != nil {
			return fmt.Errorf("%s: %w", tree.Info.Files[i].Name(tree.Info), err)
		}
	}
	return nil
}

func writeFile(ctx context.Context, w io.Writer, tree delta.Tree, file int, read func(n int)) error {
	f, err := tree.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	length := tree.Info.Files[file].Length
	var weaks, leaves []byte
	buf := make([]byte, readSize) // many blocks are hashed at once
	var sums []piece.Hash32
	for at := int64(0); at < length; at += readSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(readSize, length-at)]
		if n, err := f.ReadAt(b, at); n < len(b) {
			return err
		}
		read(len(b))
		sums = piece.AppendLeaves(sums[:0], b)
		for _, leaf := range sums {
			leaves = append(leaves, leaf[:]...)
		}
		for ; len(b) > 0; b = b[min(piece.BlockSize, len(b)):] {
			sum := uint32(0)
			if len(b) >= piece.BlockSize {
				sum = weak(hash(b[:piece.BlockSize]))
			}
			weaks = binary.LittleEndian.AppendUint32(weaks, sum)
		}
	}
	_, err = w.Write(append(weaks, leaves...))
	return err
}

// Parse reads an index of content that is described by in, with the piece layers of its files: leaves are held against the roots.
func Parse(b []byte, in *piece.Info) (*Index, error) {
	x := &Index{info: in}
	var n int
	x.first, n = layout(in)
	rest, ok := bytes.CutPrefix(b, append([]byte(magic), in.V2[:]...))
	if !ok || len(rest) != n*perBlock {
		return nil, ErrBadIndex
	}
	for i := range in.Files {
		if _, ok := x.first[i]; !ok {
			continue
		}
		count := blocksOf(in.Files[i].Length)
		for range count {
			x.weak = append(x.weak, binary.LittleEndian.Uint32(rest))
			rest = rest[4:]
		}
		for range count {
			x.leafs = append(x.leafs, piece.Hash32(rest))
			rest = rest[32:]
		}
		if !x.right(i) {
			return nil, fmt.Errorf("%w: the blocks of %s are others", ErrBadIndex, in.Files[i].Name(in))
		}
	}
	return x, nil
}

// right says whether the leaves of a file are those of its pieces.
func (x *Index) right(file int) bool {
	leaves := x.Leaves(file)
	first, end := x.info.FilePieces(file)
	for p := first; p < end; p++ {
		n := x.info.LeafCount(p)
		if !x.info.CheckLeaves(p, leaves[:n]) {
			return false
		}
		leaves = leaves[n:]
	}
	return true
}

// Leaves are the hashes of a file's blocks; nil if it has one at most.
func (x *Index) Leaves(file int) []piece.Hash32 {
	f := &x.info.Files[file]
	if f.Symlink != nil || f.Length <= piece.BlockSize {
		return nil
	}
	same, _ := x.info.FileByRoot(f.Root)
	first := x.first[same]
	return x.leafs[first : first+blocksOf(f.Length)]
}
