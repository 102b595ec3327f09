package delta

import (
	"sort"
	"sync"
)

// A stretch is a part of one old file.
type stretch struct {
	pos int64 // in the old space
	n   int
}

// A pool is old content in which new files are looked for. It is read when the first of its jobs needs it, and forgotten with the last.
type pool struct {
	stretches []stretch
	start     []int // of each stretch in old; and the end

	once  sync.Once
	index *index
	err   error
}

func newPool(stretches []stretch) *pool {
	p := &pool{stretches: stretches, start: make([]int, 1, len(stretches)+1)}
	for _, s := range stretches {
		p.start = append(p.start, p.start[len(p.start)-1]+s.n)
	}
	return p
}

func (p *pool) size() int { return p.start[len(p.start)-1] }

// load reads what the pool is made of.
func (p *pool) load(t *Tree, s space) error {
	p.once.Do(func() {
		old := make([]byte, p.size())
		for i, st := range p.stretches {
			file := s.fileAt(st.pos)
			if p.err = t.readFile(file, old[p.start[i]:p.start[i+1]], st.pos-s.start[file]); p.err != nil {
				return
			}
		}
		p.index = newIndex(old)
	})
	return p.err
}

// at is where a position of the old space is in the pool; 0 if it is not.
func (p *pool) at(pos int64) int {
	i := sort.Search(len(p.stretches), func(i int) bool { return p.stretches[i].pos > pos }) - 1
	if i < 0 || pos-p.stretches[i].pos >= int64(p.stretches[i].n) {
		return 0
	}
	return p.start[i] + int(pos-p.stretches[i].pos)
}

// global yields an op on the pool's bytes as ops on the old space: cut where stretches end that are no neighbours there, and not too long.
func (p *pool) global(o op, yield func(o op, old []byte)) {
	for o.copied > 0 {
		at := int(o.pos)
		i := sort.SearchInts(p.start, at+1) - 1
		n := min(o.copied, p.start[i+1]-at, maxCopied)
		part := op{pos: p.stretches[i].pos + int64(at-p.start[i]), copied: n}
		if n == o.copied {
			part.new = o.new
			yield(part, p.index.old[at:at+n])
			return
		}
		yield(part, p.index.old[at:at+n])
		o.pos, o.copied = o.pos+int64(n), o.copied-n
	}
	yield(o, nil)
}
