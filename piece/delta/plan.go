package delta

import (
	"path"
	"strings"
)

const (
	partBytes     = 32 << 20 // of new content that one worker matches at a time
	progressBytes = 1 << 20  // of it after which progress is told
	bytesPerOld   = 7        // of memory for a byte of old content with its index: itself, 4 of the suffix array, 2 of grams
	bytesPerNew   = 3        // of memory for a byte of new content with its ops
	poolBaseMost  = 16 << 20 // the longest old file that is put into a pool for the sake of a small new one
)

// A filePart is a part of a new file, and after it was matched what it is made of.
type filePart struct {
	file   int
	off    int64
	n      int
	expect int64 // where in the old space something like it may be

	bytes []byte
	ops   []op // on the pool's bytes
}

// A job is what one worker matches at a time.
type job struct {
	parts            []filePart
	pool             *pool // nil: there is nothing to look in
	acquire, release int64 // bytes of memory: a pool is paid by its first job and given back by its last
	lastOfPool       bool
	matched          chan struct{}
}

// plan cuts the work into jobs, in the order in which the patch has the files.
func (d *differ) plan() []*job {
	files := order(d.new.Info, &d.changes)
	small := 0
	for small < len(files) && d.new.Info.Files[files[small]].Length < smallBytes {
		small++
	}
	jobs := d.planSmall(files[:small])
	for _, file := range files[small:] {
		jobs = append(jobs, d.planLarge(file)...)
	}
	for _, j := range jobs {
		j.matched = make(chan struct{})
	}
	return jobs
}

// window is how much old content may be indexed at a time, so that it and a job fit into the memory. A suffix array takes at most 2 GiB.
func (d *differ) window() int64 {
	return min((d.o.Memory-bytesPerNew*d.partMost())/bytesPerOld, 1<<31-1<<20)
}

func (d *differ) partMost() int64 { return min(partBytes, d.o.Memory/16) }

// planSmall looks for the small files in what was at their paths and in the small files that are gone: names change, and code moves between files.
func (d *differ) planSmall(files []int) (jobs []*job) {
	var removed []int
	for _, j := range d.changes.Removed {
		if in := d.old.Info; hasContent(in, j) && in.Files[j].Length < smallBytes {
			removed = append(removed, j)
		}
	}
	var total int64
	for _, j := range removed {
		total += d.old.Info.Files[j].Length
	}
	for _, i := range files {
		total += d.baseBytes(i)
	}
	pools := int(total/d.window()) + 1
	for p := range pools {
		mine := files[len(files)*p/pools : len(files)*(p+1)/pools]
		gone := removed[len(removed)*p/pools : len(removed)*(p+1)/pools]
		jobs = append(jobs, d.share(d.smallPool(mine, gone), d.cutSmall(mine))...)
	}
	return jobs
}

// baseBytes is how long the old file is that is put into a pool for the sake of this new one.
func (d *differ) baseBytes(file int) int64 {
	j := d.changes.Files[file].Old
	if j < 0 || !hasContent(d.old.Info, j) || d.old.Info.Files[j].Length > poolBaseMost {
		return 0
	}
	return d.old.Info.Files[j].Length
}

func (d *differ) smallPool(files, gone []int) *pool {
	in := make([]bool, len(d.old.Info.Files))
	for _, j := range gone {
		in[j] = true
	}
	for _, i := range files {
		if d.baseBytes(i) > 0 {
			in[d.changes.Files[i].Old] = true
		}
	}
	var stretches []stretch
	room := d.window()
	for j, yes := range in {
		if n := d.old.Info.Files[j].Length; yes && n <= room {
			stretches = append(stretches, stretch{d.space.start[j], int(n)})
			room -= n
		}
	}
	if stretches == nil {
		return nil
	}
	return newPool(stretches)
}

// cutSmall cuts the list of files into parts for workers.
func (d *differ) cutSmall(files []int) (cut [][]filePart) {
	var parts []filePart
	var n int64
	for k, i := range files {
		length := d.new.Info.Files[i].Length
		parts = append(parts, filePart{file: i, n: int(length), expect: begin(&d.changes, d.space, i).end})
		if n += length; n >= d.partMost()/4 || k == len(files)-1 {
			cut, parts, n = append(cut, parts), nil, 0
		}
	}
	return cut
}

// planLarge looks for a large file in what it was made from.
func (d *differ) planLarge(file int) (jobs []*job) {
	length := d.new.Info.Files[file].Length
	base := d.base(file)
	var p *pool
	var share [][]filePart
	for off := int64(0); off < length; off += d.partMost() {
		part := filePart{file: file, off: off, n: int(min(d.partMost(), length-off))}
		if base < 0 {
			jobs = append(jobs, d.share(nil, [][]filePart{{part}})...)
			continue
		}
		oldLength := d.old.Info.Files[base].Length
		if w := d.window(); oldLength <= w {
			p = newPool([]stretch{{d.space.start[base], int(oldLength)}})
			part.expect = d.space.start[base] + min(off, oldLength-1)
			share = append(share, []filePart{part})
		} else {
			// What was in the middle is likely in the middle still.
			middle := int64(float64(off+int64(part.n)/2) / float64(length) * float64(oldLength))
			from := max(0, min(middle-w/2, oldLength-w))
			part.expect = d.space.start[base] + from + min(max(off-from, 0), w-1)
			jobs = append(jobs, d.share(newPool([]stretch{{d.space.start[base] + from, int(w)}}), [][]filePart{{part}})...)
		}
	}
	return append(jobs, d.share(p, share)...)
}

// share makes a job of each list of parts, all with one pool.
func (d *differ) share(p *pool, parts [][]filePart) (jobs []*job) {
	for i, list := range parts {
		j := &job{parts: list, pool: p}
		for _, part := range list {
			j.acquire += bytesPerNew * int64(part.n)
		}
		j.release = j.acquire
		if p != nil && i == 0 {
			j.acquire += bytesPerOld * int64(p.size())
		}
		if p != nil && i == len(parts)-1 {
			j.lastOfPool = true
			j.release += bytesPerOld * int64(p.size())
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// base is the old file from which a large new one was probably made: at the same path, or among those that are gone the one whose name differs least.
// It is -1 if there is none.
func (d *differ) base(file int) int {
	if c := d.changes.Files[file]; c.Old >= 0 {
		if hasContent(d.old.Info, c.Old) {
			return c.Old
		}
		return -1
	}
	name := pathOf(d.new.Info, file)
	best, bestScore := -1, 0
	for _, j := range d.changes.Removed {
		if !hasContent(d.old.Info, j) {
			continue
		}
		if s := likeness(name, pathOf(d.old.Info, j)); s > bestScore {
			best, bestScore = j, s
		}
	}
	return best
}

// likeness of two paths: how many characters they have in common at both ends, where digits are all the same. It is 0 for files of other kinds.
func likeness(a, b string) int {
	same := func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}
	a, b = strings.Map(same, a), strings.Map(same, b)
	if path.Ext(a) != path.Ext(b) && path.Base(a) != path.Base(b) {
		return 0
	}
	front := commonPrefix([]byte(a), []byte(b))
	a, b = a[front:], b[front:]
	back := 0
	for back < min(len(a), len(b)) && a[len(a)-1-back] == b[len(b)-1-back] {
		back++
	}
	return 1 + front + back
}
