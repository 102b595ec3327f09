package blocks

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"shoal/piece"
	"shoal/piece/delta"
)

// Place is where a block was found.
type Place struct {
	Tree   int // of the old ones
	File   int
	Offset int64
}

// Found says where blocks of new files lie in old ones.
type Found struct {
	index  *Index
	places []Place // by block of the index
	here   []bool
}

// Old is a version that lies here, and which of its files may have blocks of the new one.
type Old struct {
	delta.Tree
	Files []int
}

const (
	readSize   = 1 << 20
	filterBits = 20 // of a weak hash, for a filter that stays in a core's cache
)

// searcher is one Search.
type searcher struct {
	index  *Index
	filter []uint64
	byWeak map[uint32][]int32

	progress func(done, total int64)
	total    int64
	done     atomic.Int64

	mu    sync.Mutex
	found *Found
}

// Search looks for the blocks of files of the new version in old ones, on all cores. An old file that cannot be read has none. Progress, if it is not nil,
// is told how many bytes of old files are done, from many goroutines.
func Search(ctx context.Context, x *Index, files []int, old []Old, progress func(done, total int64)) (*Found, error) {
	s := &searcher{index: x, progress: progress, filter: make([]uint64, 1<<(filterBits-6)), byWeak: make(map[uint32][]int32)}
	s.found = &Found{index: x, places: make([]Place, len(x.weak)), here: make([]bool, len(x.weak))}
	for _, i := range files {
		first, ok := x.first[i]
		if !ok {
			continue
		}
		for b := range int(x.info.Files[i].Length / piece.BlockSize) { // not the last one if it is shorter
			w := x.weak[first+b]
			s.byWeak[w] = append(s.byWeak[w], int32(first+b))
			s.filter[w>>(32-filterBits)>>6] |= 1 << (w >> (32 - filterBits) & 63)
		}
	}
	var scanned []Place
	for t := range old {
		for _, i := range old[t].Files {
			if n := old[t].Info.Files[i].Length; n >= piece.BlockSize {
				scanned = append(scanned, Place{Tree: t, File: i})
				s.total += n
			}
		}
	}
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range scanned {
		if running.Err() != nil {
			break
		}
		g.Go(func() error { return s.scan(running, &old[p.Tree], p.Tree, p.File) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	byName := make(map[string][]Place)
	for t := range old {
		for _, i := range old[t].Files {
			name := baseName(&old[t].Info.Files[i])
			byName[name] = append(byName[name], Place{Tree: t, File: i})
		}
	}
	for _, i := range files {
		s.tail(i, old, byName)
	}
	return s.found, ctx.Err()
}

// read counts bytes of old files that are done.
func (s *searcher) read(n int64) {
	if done := s.done.Add(n); s.progress != nil {
		s.progress(done, s.total)
	}
}

// scan rolls over one old file.
func (s *searcher) scan(ctx context.Context, old *Old, tree, file int) error {
	length, at := old.Info.Files[file].Length, int64(0)
	defer func() { s.read(length - at) }() // what cannot be read is done, too
	f, err := old.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	buf := make([]byte, readSize+piece.BlockSize)
	for at+piece.BlockSize <= length {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(int64(len(buf)), length-at)]
		if n, _ := f.ReadAt(b, at); n < len(b) {
			return nil
		}
		n := int64(s.window(b, func(offset int) Place { return Place{tree, file, at + int64(offset)} }))
		at += n
		s.read(n)
	}
	return nil
}

// window looks at every block that begins in b and ends there, and says where the next one begins.
func (s *searcher) window(b []byte, place func(offset int) Place) int {
	i := 0
	for i+piece.BlockSize <= len(b) {
		h := hash(b[i : i+piece.BlockSize])
		for {
			w := weak(h)
			if s.filter[w>>(32-filterBits)>>6]&(1<<(w>>(32-filterBits)&63)) != 0 && s.hit(w, b[i:i+piece.BlockSize], place, i) {
				i += piece.BlockSize
				break
			}
			if i+piece.BlockSize == len(b) {
				return i + 1
			}
			h = roll(h, b[i], b[i+piece.BlockSize])
			i++
		}
	}
	return i
}

// hit takes note of all blocks that are this one.
func (s *searcher) hit(w uint32, block []byte, place func(offset int) Place, offset int) (is bool) {
	list := s.byWeak[w]
	if len(list) == 0 {
		return false
	}
	leaf := piece.AppendLeaves(nil, block)[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range list {
		if s.index.leafs[n] == leaf {
			is = true
			if !s.found.here[n] {
				s.found.here[n], s.found.places[n] = true, place(offset)
			}
		}
	}
	return is
}

// tail looks for the last block of a file, which is shorter than others: behind the one before it, and at the end of old files of its name.
func (s *searcher) tail(file int, old []Old, byName map[string][]Place) {
	f := &s.index.info.Files[file]
	first, ok := s.index.first[file]
	n := f.Length % piece.BlockSize
	if !ok || n == 0 {
		return
	}
	last := first + blocksOf(f.Length) - 1
	var places []Place
	if s.found.here[last-1] {
		p := s.found.places[last-1]
		p.Offset += piece.BlockSize
		places = append(places, p)
	}
	for _, p := range byName[baseName(f)] {
		places = append(places, Place{p.Tree, p.File, old[p.Tree].Info.Files[p.File].Length - n})
	}
	b := make([]byte, n)
	for _, p := range places {
		if p.Offset >= 0 && readAt(old[p.Tree].Tree, p.File, b, p.Offset) && piece.AppendLeaves(nil, b)[0] == s.index.leafs[last] {
			s.found.here[last], s.found.places[last] = true, p
			return
		}
	}
}

// baseName is a file's name without its directories; "" for the one of a single-file torrent.
func baseName(f *piece.File) string {
	if len(f.Path) == 0 {
		return ""
	}
	return f.Path[len(f.Path)-1]
}

func readAt(t delta.Tree, file int, b []byte, off int64) bool {
	f, err := t.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	n, _ := f.ReadAt(b, off)
	return n == len(b)
}

// At is where block b of a file lies.
func (f *Found) At(file, b int) (Place, bool) {
	same, ok := f.index.info.FileByRoot(f.index.info.Files[file].Root)
	if !ok {
		return Place{}, false
	}
	first, ok := f.index.first[same]
	if !ok || !f.here[first+b] {
		return Place{}, false
	}
	return f.places[first+b], true
}

// Bytes is how much of a file was found.
func (f *Found) Bytes(file int) (n int64) {
	length := f.index.info.Files[file].Length
	for b := range blocksOf(length) {
		if _, ok := f.At(file, b); ok {
			n += min(piece.BlockSize, length-int64(b)*piece.BlockSize)
		}
	}
	return n
}
