package delta

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"shoal/piece"
)

// Options say how to make a patch. The zero value is usable.
type Options struct {
	// Memory bounds, in bytes, what Diff takes besides BesideMemory. Where an old file needs more than that (7 bytes for each of its own), it is looked at
	// in parts. Zero means DefaultMemory; less than MinMemory is refused.
	Memory int64
	// Workers is how many goroutines look for old bytes. Zero means GOMAXPROCS.
	Workers int
	// Progress is told how many bytes of changed and added files are done, never concurrently: first none, and the same again now and then while old
	// files are sorted, which takes a large one a while.
	Progress func(done, total int64)

	section limits // for tests
}

// MinMemory is the least that Options.Memory may be.
const MinMemory = 64 << 20

const (
	leastMemory   = 84 << 20 // unasked: with 64 MiB the patch of a tree of many small files (next 16.4.5 to 16.4.6) is 124 KB instead of 15
	mostMemory    = 2 << 30  // unasked
	memoryPerByte = 14       // of the largest file: its index, parts of several new files, and what the collector has not found yet
)

// BesideMemory is what Diff may take besides Options.Memory, in bytes, whatever is compared: the text of new bytes and what finds repeats in it (fresh.go).
const BesideMemory = 76 << 20

// DefaultMemory is what a patch may take where nothing else is said, in bytes: 14 for each of the largest file of either version, 84 MiB at least and 2 GiB at most.
func DefaultMemory(old, new *piece.Info) int64 {
	var largest int64
	for _, in := range []*piece.Info{old, new} {
		for i := range in.Files {
			largest = max(largest, in.Files[i].Length)
		}
	}
	return min(max(memoryPerByte*largest, leastMemory), mostMemory)
}

// Stats is what a patch is made of.
type Stats struct {
	Same, Renamed, Changed, Added, Removed int // files
	ReusedBytes, PatchedBytes              int64
	Bytes                                  int64 // of the patch
	InfoBytes                              int64 // of these, for the new info dictionary
}

// Diff writes a patch that makes new from old. It is the same each time for the same versions and Memory. Changed and added files are read once; a file
// whose content does not match its Info gives a patch that does not lead to what Info says.
func Diff(ctx context.Context, old, new Tree, w io.Writer, o Options) (Stats, error) {
	if o.Memory == 0 {
		o.Memory = DefaultMemory(old.Info, new.Info)
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Memory < MinMemory {
		return Stats{}, fmt.Errorf("%d bytes of memory for a patch: at least %d", o.Memory, MinMemory)
	}
	if !old.Info.HasV2 || !new.Info.HasV2 {
		return Stats{}, errors.New("a patch needs v2 or hybrid torrents")
	}
	changes := Compare(old.Info, new.Info)
	stats := countChanges(new.Info, &changes)
	if o.Progress != nil {
		o.Progress(0, stats.PatchedBytes)
	}
	out := &counter{w: w}
	if err := writeHead(ctx, out, old.Info, new.Info); err != nil {
		return Stats{}, err
	}
	stats.InfoBytes = out.n
	d := differ{old: old, new: new, o: o, changes: changes, space: newSpace(old.Info), out: out, limits: cmp.Or(o.section, sectionLimits), total: stats.PatchedBytes}
	err := d.run(ctx)
	stats.Bytes = out.n
	return stats, err
}

func countChanges(new *piece.Info, c *Changes) Stats {
	s := Stats{Removed: len(c.Removed)}
	for i := range new.Files {
		switch c.Files[i].Kind {
		case Same:
			s.Same++
		case Renamed:
			s.Renamed++
		case Changed:
			s.Changed++
		case Added:
			s.Added++
		}
		if c.needsBytes(new, i) {
			s.PatchedBytes += new.Files[i].Length
		} else if hasContent(new, i) {
			s.ReusedBytes += new.Files[i].Length
		}
	}
	return s
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// writeHead writes a patch up to its first section of content.
func writeHead(ctx context.Context, w io.Writer, old, new *piece.Info) error {
	head := append([]byte(magic), old.V2[:]...)
	head = binary.AppendUvarint(head, uint64(len(new.Bytes)))
	if _, err := w.Write(head); err != nil {
		return err
	}
	s := newSectionEncoder(w, sectionLimits)
	p := newPool([]stretch{{n: len(old.Bytes)}})
	p.index = newIndex(old.Bytes)
	f := filePart{n: len(new.Bytes), bytes: new.Bytes}
	if err := p.index.match(ctx, new.Bytes, 0, func() {}, func(o op) { f.ops = append(f.ops, o) }); err != nil {
		return err
	}
	if err := s.addPart(&f, p, byteSource(old.Bytes), &track{}, int64(len(new.Bytes))); err != nil {
		return err
	}
	return s.flush()
}

// differ is one run of Diff.
type differ struct {
	old, new Tree
	o        Options
	changes  Changes
	space    space
	out      io.Writer
	limits   limits

	mu          sync.Mutex
	done, total int64
}

// run lets workers match the jobs, and writes what they found in the order of the jobs.
func (d *differ) run(ctx context.Context) error {
	jobs := d.plan()
	memory := semaphore.NewWeighted(d.o.Memory)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		workers, inner := errgroup.WithContext(ctx)
		workers.SetLimit(d.o.Workers)
		for _, j := range jobs {
			// In the order in which they are given back, or the writer could wait for a job that waits for memory.
			if err := memory.Acquire(inner, j.acquire); err != nil {
				break
			}
			workers.Go(func() error { return d.match(inner, j) })
		}
		return errors.Join(workers.Wait(), ctx.Err())
	})
	g.Go(func() error { return d.write(ctx, jobs, memory) })
	return g.Wait()
}

// match looks for the bytes of a job.
func (d *differ) match(ctx context.Context, j *job) error {
	if j.pool != nil {
		if err := j.pool.load(&d.old, d.space); err != nil {
			return err
		}
	}
	for i := range j.parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := &j.parts[i]
		p.bytes = make([]byte, p.n)
		if err := d.new.readFile(p.file, p.bytes, p.off); err != nil {
			return err
		}
		told, at := 0, 0 // a part takes a worker many seconds
		if j.pool == nil {
			p.ops = []op{{new: p.n}}
		} else if err := j.pool.index.match(ctx, p.bytes, j.pool.at(p.expect), func() { d.progress(0) }, func(o op) {
			p.ops = append(p.ops, o)
			if at += o.copied + o.new; at-told >= progressBytes {
				d.progress(int64(at - told))
				told = at
			}
		}); err != nil {
			return err
		}
		d.progress(int64(p.n - told))
	}
	close(j.matched)
	return nil
}

func (d *differ) progress(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done += n; d.o.Progress != nil {
		d.o.Progress(d.done, d.total)
	}
}

func (d *differ) write(ctx context.Context, jobs []*job, memory *semaphore.Weighted) error {
	s := newSectionEncoder(d.out, d.limits)
	var t track
	for _, j := range jobs {
		select {
		case <-j.matched:
		case <-ctx.Done():
			return ctx.Err()
		}
		for i := range j.parts {
			p := &j.parts[i]
			if p.off == 0 {
				t = begin(&d.changes, d.space, p.file)
			}
			if err := s.addPart(p, j.pool, d.space, &t, d.new.Info.Files[p.file].Length-p.off); err != nil {
				return err
			}
			p.ops, p.bytes = nil, nil
		}
		j.pool = nil
		if j.lastOfPool && j.release > d.o.Memory/8 {
			// A pool is a few allocations, and the next one's are beside them before a collection that they themselves begin has found these: of
			// bun with 512 MiB the heap had 715.
			runtime.GC()
		}
		memory.Release(j.release)
	}
	return s.flush()
}

type bounded interface {
	bounds(pos int64) (start, end int64)
}

// addPart encodes a part of a file, which has left bytes from its beginning on.
func (s *sectionEncoder) addPart(p *filePart, from *pool, all bounded, t *track, left int64) (err error) {
	b := p.bytes
	one := func(o op, old []byte) {
		n := o.copied + o.new
		if err == nil && s.full() {
			err = s.flush()
		}
		at := place{pos: o.pos, offset: t.made}
		if o.copied > 0 {
			at.start, at.stop = all.bounds(o.pos)
		}
		s.add(o, left, *t, at, old, b[:n])
		t.after(o)
		b, left = b[n:], left-int64(n)
	}
	each := func(o op, old []byte) {
		for ; o.new > maxNew; o, old = (op{new: o.new - maxNew}), nil {
			one(op{o.pos, o.copied, maxNew}, old)
		}
		one(o, old)
	}
	for _, o := range p.ops {
		if from == nil {
			each(o, nil)
		} else {
			from.global(o, each)
		}
	}
	return err
}
