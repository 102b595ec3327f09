package updater

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"shoal/internal/disk"
	"shoal/piece"
	"shoal/swarm"
)

// What was fetched of a version that the channel has left meanwhile is often most of the next one. Its parts are called by numbers, and which files they are of need not be
// known here: of those that may be of a file some pieces are held against its hashes.

// scraps are the parts of fetches that were not ended, in the stage of another version.
type scraps struct {
	bySize map[int64][]string
	dirs   []string // with parts
	bytes  int64    // that they have on the disk, about
	whole  bool     // some or all of it was whole
}

// scrapsIn looks for parts.
func scrapsIn(stage string) (s scraps) {
	s.bySize = map[int64][]string{}
	works, err := os.ReadDir(stage)
	if err != nil {
		return s
	}
	for _, w := range works {
		if !strings.HasPrefix(w.Name(), ".shoal-") {
			s.whole = true
			continue
		}
		dir := filepath.Join(stage, w.Name(), "parts")
		parts, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		s.dirs = append(s.dirs, dir)
		for _, p := range parts {
			s.add(filepath.Join(dir, p.Name()))
		}
	}
	return s
}

func (s *scraps) add(path string) {
	f, err := openRegular(path)
	if err != nil {
		return
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil {
		s.bySize[fi.Size()] = append(s.bySize[fi.Size()], path)
		s.bytes += min(fi.Size(), disk.Allocated(f))
	}
}

// maxAlike bounds how many parts of the same length are held against a file.
const maxAlike = 4

// of lists the parts that may be of a file: those of its length, and that which has its number.
func (s *scraps) of(info *piece.Info, file int) []string {
	list := s.bySize[info.Files[file].Length]
	list = list[:min(len(list), maxAlike):min(len(list), maxAlike)]
	for _, dir := range s.dirs {
		list = append(list, filepath.Join(dir, strconv.Itoa(file)))
	}
	return list
}

// salvage has the place of a fetch into dir hold what of its content is in parts of another one.
func salvage(ctx context.Context, info *piece.Info, dir string, s *scraps) (err error) {
	if !info.HasV2 {
		return nil
	}
	parts, err := swarm.New(swarm.Config{}).Parts(dir, info)
	if err != nil {
		return err
	}
	defer func() {
		if closed := parts.Close(); err == nil {
			err = closed
		}
	}()
	if err := parts.Adopt(ctx, nil); err != nil {
		return err
	}
	return eachMissing(ctx, info, parts, func(ctx context.Context, i int) error {
		for _, path := range s.of(info, i) {
			if err := copyScrap(ctx, parts, info, i, path); err != nil || parts.Has(i) {
				return err
			}
		}
		return nil
	})
}

func copyScrap(ctx context.Context, parts *swarm.Parts, info *piece.Info, file int, path string) error {
	f, err := openRegular(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if !hasSome(info, file, f) {
		return nil
	}
	return parts.Copy(ctx, file, f)
}

// samples is how many pieces are looked at to know whether any is right: of what has a tenth of them, four in five are found.
const samples = 16

// hasSome says whether any of some pieces of a file is right in f, in its place.
func hasSome(info *piece.Info, file int, f *os.File) bool {
	first, end := info.FilePieces(file)
	n := min(samples, end-first)
	b := make([]byte, info.PieceLength)
	for k := range n {
		p := first + k*(end-first)/n
		b := b[:info.PieceLen(p)]
		if _, err := f.ReadAt(b, int64(p-first)*info.PieceLength); err == nil && info.CheckLeaves(p, piece.AppendLeaves(nil, b)) {
			return true
		}
	}
	return false
}
