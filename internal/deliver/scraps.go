package deliver

import (
	"context"
	"errors"
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

// Scraps are the parts of fetches that were not ended, in the stage of another version.
type Scraps struct {
	Bytes int64 // that they have on the disk, about
	Whole bool  // some or all of it was whole

	bySize map[int64][]string
	dirs   []string // with parts
}

// ScrapsIn looks for parts in a directory that content was fetched to.
func ScrapsIn(stage string) (s Scraps) {
	s.bySize = map[int64][]string{}
	works, err := os.ReadDir(stage)
	if err != nil {
		return s
	}
	for _, w := range works {
		if !strings.HasPrefix(w.Name(), ".shoal-") {
			s.Whole = true
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

// openScrap opens a part, if it is one.
func openScrap(path string) (*os.File, error) {
	if err := regular(os.Lstat(path)); err != nil {
		return nil, err
	}
	return os.Open(path)
}

func (s *Scraps) add(path string) {
	f, err := openScrap(path)
	if err != nil {
		return
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil {
		s.bySize[fi.Size()] = append(s.bySize[fi.Size()], path)
		s.Bytes += min(fi.Size(), disk.Allocated(f))
	}
}

// maxScraps bounds how many parts of the same length are held against a file.
const maxScraps = 4

// of lists the parts that may be of a file: those of its length, and that which has its number.
func (s *Scraps) of(info *piece.Info, file int) []string {
	list := s.bySize[info.Files[file].Length]
	list = list[:min(len(list), maxScraps):min(len(list), maxScraps)]
	for _, dir := range s.dirs {
		list = append(list, filepath.Join(dir, strconv.Itoa(file)))
	}
	return list
}

// Salvage has the place of a fetch into dir hold what of its content is in those parts.
func (s *Scraps) Salvage(ctx context.Context, info *piece.Info, dir string) (err error) {
	if !info.HasV2 {
		return nil
	}
	parts, err := swarm.New(swarm.Config{}).Parts(dir, info)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
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
	f, err := openScrap(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if !hasSome(info, file, f) {
		return nil
	}
	return parts.Copy(ctx, file, f)
}

// scrapSamples is how many pieces are looked at to know whether any is right: of what has a tenth of them, four in five are found.
const scrapSamples = 16

// hasSome says whether any of some pieces of a file is right in f, in its place.
func hasSome(info *piece.Info, file int, f *os.File) bool {
	first, end := info.FilePieces(file)
	n := min(scrapSamples, end-first)
	for k := range n {
		if right, _ := pieceIn(info, file, first+k*(end-first)/n, f); right {
			return true
		}
	}
	return false
}
