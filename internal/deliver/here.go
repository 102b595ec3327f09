package deliver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/piece"
	"shoal/swarm"
)

// What is on this machine already, told without reading more than descriptions and journals: what a run has left that was stopped, what lies where the release
// goes to, and what older versions have.

// artefact is how many bytes of an archive or a patch are to be fetched, metainfo included, and a word about what a former run has left of it.
func (s *survey) artefact(a *release.Artefact) (fetch int64, why string) {
	fetch = a.Bytes + a.Metainfo
	if s.begun[a.V2] != nil { // its metainfo is here
		fetch = a.Bytes
	}
	left := s.artefactLeft(a)
	if left > 0 {
		why = fmt.Sprintf(", %d of them left by a former run", left)
	}
	return fetch - left, why
}

// artefactLeft is what a former run has left of an archive or a patch.
func (s *survey) artefactLeft(a *release.Artefact) int64 {
	dir := s.artefactDir(a.V2)
	if fi, err := os.Stat(filepath.Join(dir, a.Name)); err == nil && dir != s.dir && fi.Size() == a.Bytes {
		return a.Bytes
	}
	if t := s.begun[a.V2]; t != nil {
		return swarm.LeftIn(dir, t.Info).Bytes()
	}
	return 0
}

// describeBegun gets the metainfo of archives and patches of which a former run has left something: it takes that to know how much.
func (s *stager) describeBegun(ctx context.Context) error {
	list := s.survey.patches
	if a := s.survey.release.Archive(); a != nil {
		list = append([]release.Artefact{*a}, list...)
	}
	for i := range list {
		a := &list[i]
		v2, err := parseV2(a.V2)
		if err != nil || swarm.Staged(s.artefactDir(a.V2), v2) == 0 {
			continue
		}
		t, err := s.describeArtefact(ctx, a)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil { // else that way is as dear as if it were not begun
			s.survey.begun[a.V2] = t
		}
	}
	return nil
}

// inPlace is how many bytes of each file lie where the release goes to, told by their lengths. A file of another length counts as far as it goes if that ends as it should: it
// was cut off, or something was appended.
func (s *survey) inPlace() []int64 {
	in := s.tree.Info
	list := make([]int64, len(in.Files))
	dirs, err := openTree(in, filepath.Join(s.dir, in.Name))
	if err != nil {
		return list
	}
	defer dirs.Close()
	for i := range in.Files {
		f := &in.Files[i]
		if f.Symlink != nil || f.Length == 0 || s.left.Begun(i) {
			continue
		}
		st, err := dirs.Lstat(treeName(in, in.Name, i))
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		if n := min(st.Size(), f.Length); st.Size() == f.Length || in.Dir && endsRight(in, dirs, i, n) { // a single file is looked at as an older version is
			list[i] = n
		}
	}
	return list
}

// countMoved counts what lies where the release goes to under another name.
func (s *survey) countMoved() {
	in := s.tree.Info
	moved := s.moved(in, func(i int) bool { return s.placed[i] == in.Files[i].Length })
	if moved == nil {
		return
	}
	defer moved.close()
	for i := range in.Files {
		if f := &in.Files[i]; f.Symlink != nil || s.placed[i] == f.Length {
			continue
		}
		if o := moved.find(i); o != nil {
			o.Close()
			s.placed[i] = in.Files[i].Length
		}
	}
}

// endsRight says whether the last whole piece among the first n bytes of file i is right as it lies there.
func endsRight(in *piece.Info, dirs *disk.Dirs, i int, n int64) bool {
	whole := n / in.PieceLength
	if whole == 0 {
		return false
	}
	f, err := dirs.Open(treeName(in, in.Name, i))
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, in.PieceLength)
	if _, err := f.ReadAt(b, (whole-1)*in.PieceLength); err != nil {
		return false
	}
	first, _ := in.FilePieces(i)
	return in.CheckLeaves(first+int(whole)-1, piece.AppendLeaves(nil, b))
}

// here is how many bytes of the tree need not be fetched, and in words what they are.
func (s *survey) here() (n int64, why string) {
	var left, placed, old int64
	reused := s.reusable()
	for i := range s.tree.Files {
		f := &s.tree.Files[i]
		if f.Symlink != nil || f.Length == 0 {
			continue
		}
		if n := s.placed[i]; n == f.Length || n > reused[i] {
			placed += n
			continue
		}
		l := s.leftOf(i)
		left += l
		old += reused[i] - l
	}
	var all []string
	if left > 0 {
		all = append(all, "what a former run has left")
	}
	if placed > 0 {
		all = append(all, "files in place")
	}
	if old > 0 || len(all) == 0 {
		what := "files and pieces"
		if s.searched() {
			what = "files and blocks of 16 KiB"
		}
		all = append(all, fmt.Sprintf("equal %s of %d older versions", what, len(s.versions)))
	}
	return left + placed + old, strings.Join(all, ", ")
}

// leftOf is how many bytes of file i a former run has left.
func (s *survey) leftOf(i int) (n int64) {
	first, end := s.tree.FilePieces(i)
	for p := first; p < end; p++ {
		if s.left.Has(p) {
			n += s.tree.PieceLen(p)
		}
	}
	return n
}

// reusable says for each file of the tree how many of its bytes a former run has left or older versions have: all, if one has a file with its root under any name; else
// those of its pieces that the file of its name has in the same place, and of its blocks that were found.
func (s *survey) reusable() []int64 {
	in := s.tree.Info
	list := make([]int64, len(in.Files))
	for i := range in.Files {
		for _, v := range s.versions {
			if j, ok := v.info.FileByRoot(in.Files[i].Root); ok && in.Files[i].Length > 0 && v.hasFile(j) {
				list[i] = in.Files[i].Length
				break
			}
		}
		if list[i] > 0 {
			continue
		}
		if list[i] = s.piecesOf(i); s.searched() {
			list[i] = max(list[i], s.blocksOf(i))
		}
	}
	return list
}

// piecesOf is how many bytes of file i a former run has left, or are in equal pieces of the file of the same path in some version.
func (s *survey) piecesOf(i int) (n int64) {
	in := s.tree.Info
	first, end := in.FilePieces(i)
	for p := first; p < end; p++ {
		if s.left.Has(p) || slices.ContainsFunc(s.versions, func(v *version) bool { return v.hasPiece(in, i, p) }) {
			n += in.PieceLen(p)
		}
	}
	return n
}

// hasPiece says whether piece p of file i of another tree is equal to that of the version's file of the same path.
func (v *version) hasPiece(in *piece.Info, i, p int) bool {
	j := v.fileAt(in, i)
	if j < 0 || v.info.PieceLength != in.PieceLength {
		return false
	}
	first, _ := in.FilePieces(i)
	from, to := v.info.FilePieces(j)
	own := from + p - first
	if own >= to || v.left != nil && !v.left.Has(own) {
		return false
	}
	a, known := in.PieceRoot(p)
	b, also := v.info.PieceRoot(own)
	return known && also && a == b
}

// fileAt is the version's file at the path of file i of another tree; -1: none. Of single files it is the one.
func (v *version) fileAt(in *piece.Info, i int) int {
	if in.Dir != v.info.Dir {
		return -1
	}
	v.once.Do(func() {
		v.paths = make(map[string]int, len(v.info.Files))
		for j := range v.info.Files {
			v.paths[filepath.Join(v.info.Files[j].Path...)] = j
		}
	})
	if j, ok := v.paths[filepath.Join(in.Files[i].Path...)]; ok && v.info.Files[j].Length > 0 {
		return j
	}
	return -1
}

// blocksOf is how many bytes of file i a former run has left, or were found in blocks.
func (s *survey) blocksOf(i int) (n int64) {
	in := s.tree.Info
	first, end := in.FilePieces(i)
	perPiece := int(in.PieceLength / piece.BlockSize)
	for p := first; p < end; p++ {
		if s.left.Has(p) {
			n += in.PieceLen(p)
			continue
		}
		for b := range in.LeafCount(p) {
			if _, ok := s.blocks.found.At(i, (p-first)*perPiece+b); ok {
				n += min(piece.BlockSize, in.PieceLen(p)-int64(b)*piece.BlockSize)
			}
		}
	}
	return n
}
