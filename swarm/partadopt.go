package swarm

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Adopt looks at the files that stand under their own names already, and have no part: a part that anybody made would go before them. A file that is right
// stays as it is. What is right of another one becomes its part, which lacks the rest. All of them are hashed; progress, which may be nil, is told
// how many bytes of them are, from many goroutines. Nothing may be written meanwhile.
func (p *Parts) Adopt(ctx context.Context, progress func(done, total int64)) error {
	info := p.store.info
	var files, pieces []int
	var total int64
	for i := range info.Files {
		if info.Files[i].Symlink != nil || p.Has(i) || p.store.where[i].Load() != absent {
			continue
		}
		st, err := p.store.dirs.Lstat(p.store.final(i))
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		p.store.nowInPlace(i, st)
		files = append(files, i)
		first, end := info.FilePieces(i)
		for k := first; k < end; k++ {
			pieces = append(pieces, k)
			total += info.PieceLen(k)
		}
	}
	good, err := p.check(ctx, pieces, func(done int64) {
		if progress != nil {
			progress(done, total)
		}
	})
	if err != nil {
		return err
	}
	for _, i := range files {
		if err := p.adopt(ctx, i, &good); err != nil {
			return err
		}
	}
	return nil
}

// adopt takes what is good of a file in place.
func (p *Parts) adopt(ctx context.Context, file int, good *bitset) error {
	info := p.store.info
	whole, some := true, false
	first, end := info.FilePieces(file)
	for k := first; k < end; k++ {
		whole, some = whole && good.has(k), some || good.has(k)
	}
	if err := p.store.settle(ctx, file, whole, some); err != nil {
		return err
	}
	return p.recordGood(first, end, good)
}

// recordGood has those of the pieces [first, end) count that were found to be right.
func (p *Parts) recordGood(first, end int, good *bitset) error {
	for k := first; k < end; k++ {
		if good.has(k) {
			if err := p.record(k, true, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// check hashes pieces where they lie, and says which are right; progress is told how many bytes were hashed, from many goroutines.
func (p *Parts) check(ctx context.Context, pieces []int, progress func(done int64)) (good bitset, err error) {
	info := p.store.info
	good = newBitset(info.NumPieces())
	var mu sync.Mutex // of good
	var done atomic.Int64
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, k := range pieces {
		if running.Err() != nil {
			break
		}
		g.Go(func() error {
			if r := checkPiece(p.store, info, k, allHashes); r.ok {
				p.leaves.put(info.FirstLeaf(k), r.leaves)
				mu.Lock()
				good.add(k)
				mu.Unlock()
			}
			progress(done.Add(info.PieceLen(k)))
			return running.Err()
		})
	}
	return good, g.Wait()
}
