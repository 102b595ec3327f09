//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/scripts/internal/program"
)

const (
	traceItems = 400
	traceShare = 0.2 // of all bytes: the room that a cache has
	traceSkew  = 0.9 // of Zipf's law
	// afterDeath is how many requests come once the origin is dead.
	afterDeath = 500
	// patience is how long a request may take once the origin is dead.
	patience = 5 * time.Second
)

// zipf is a trace of requests for items by Zipf's law, the first of them the most popular.
func zipf(r *rand.Rand, items []int, requests int) (trace []int) {
	n := len(items)
	sums := make([]float64, n)
	sum := 0.0
	for k := range n {
		sum += math.Pow(float64(k+1), -traceSkew)
		sums[k] = sum
	}
	for range requests {
		x := r.Float64() * sum
		k := 0
		for k < n-1 && sums[k] < x {
			k++
		}
		trace = append(trace, items[k])
	}
	return trace
}

// played is what became of a trace.
type played struct {
	origin         int64 // bytes that the origin has sent
	hitBytes, hits int64
	most           int64          // bytes of disk, at most
	miss           program.Series // ms that a request took that was no hit
	alone          int            // of later requests, those that were answered after the origin had died
}

// trace plays the same requests to an edge and to Varnish, both with room for a part of what there is.
func (b *bench) trace(ctx context.Context) error {
	if !program.Installed("varnishd") {
		return nil
	}
	r := rand.New(rand.NewPCG(1, 2))
	items := make([]item, traceItems)
	var all int64
	for k := range items {
		items[k] = item{app: fmt.Sprint("app", k), version: "1.0", channel: "stable", size: int64(16 << 10 * math.Exp2(8*r.Float64()))} // 16 KiB to 4 MiB
		all += items[k].size
	}
	dir, err := b.repository(ctx, "repository-trace", items)
	if err != nil {
		return err
	}
	room := int64(traceShare * float64(all))
	ranks := r.Perm(traceItems)
	scan := r.Perm(traceItems) // of all there is, in the middle, as a crawler makes it
	trace := slices.Concat(zipf(r, ranks, b.requests/2), scan, zipf(r, ranks, b.requests/2))
	after := zipf(r, ranks, afterDeath)
	var asked int64
	for _, k := range trace {
		asked += items[k].size
	}

	mine, err := b.playEdge(ctx, dir, items, trace, after, room)
	if err != nil {
		return err
	}
	theirs, err := b.playVarnish(ctx, dir, items, trace, after, room)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d requests (Zipf %.1f, and one scan) for %d files of 16 KiB to 4 MiB, %d MiB in all, %d MiB asked for; room for %d MiB:\n\n",
		len(trace), traceSkew, traceItems, all>>20, asked>>20, room>>20)
	fmt.Println("| | `shoal edge --pull-through` | Varnish |\n| --- | --- | --- |")
	line := func(what string, of func(*played) string) {
		fmt.Printf("| %s | %s | %s |\n", what, of(mine), of(theirs))
	}
	line("bytes from the origin", func(p *played) string { return fmt.Sprintf("%d MiB", p.origin>>20) })
	line("hit ratio, requests", func(p *played) string { return fmt.Sprintf("%.1f %%", 100*float64(p.hits)/float64(len(trace))) })
	line("hit ratio, bytes", func(p *played) string { return fmt.Sprintf("%.1f %%", 100*float64(p.hitBytes)/float64(asked)) })
	line("most of the disk / room", func(p *played) string { return fmt.Sprintf("%.2f", float64(p.most)/float64(room)) })
	line("a miss takes (median)", func(p *played) string { return fmt.Sprintf("%.1f ms", p.miss.Median()) })
	line(fmt.Sprintf("of %d more requests after the origin has died, answered within %v", afterDeath, patience), func(p *played) string { return fmt.Sprint(p.alone) })
	return nil
}

func (b *bench) playEdge(ctx context.Context, dir string, items []item, trace, after []int, room int64) (*played, error) {
	o, err := b.node(ctx, "serve", dir)
	if err != nil {
		return nil, err
	}
	e, err := b.edge(ctx, o, "--app", "none", "--pull-through", "--quota", fmt.Sprint(room))
	if err != nil {
		return nil, errors.Join(err, o.Stop())
	}
	defer e.Stop()
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) { // until it knows its origin
		if _, _, err := download(ctx, e.url+"/"+items[0].app+"@1.0"); err == nil {
			break
		} else if time.Since(begin) > 5*time.Minute {
			return nil, errors.Join(fmt.Errorf("the edge does not know its origin's releases in five minutes: %w", err), o.Stop())
		}
	}
	hits := func() (int64, error) { st, err := e.status(); return st.Edge.Requests.Hits, err }
	return b.play(ctx, e.url, e.state, o, items, trace, after, hits, func(p *played) error {
		st, err := e.status()
		p.hits, p.hitBytes = st.Edge.Requests.Hits, st.Edge.Requests.HitBytes
		return err
	})
}

func (b *bench) playVarnish(ctx context.Context, dir string, items []item, trace, after []int, room int64) (*played, error) {
	o, err := b.node(ctx, "serve", dir)
	if err != nil {
		return nil, err
	}
	v, err := b.varnish(ctx, o.url, room)
	if err != nil {
		return nil, errors.Join(err, o.Stop())
	}
	defer v.Stop()
	return b.play(ctx, v.url, v.storage, o, items, trace, after, nil, func(*played) error { return nil })
}

// play asks for one item after another, ends the origin, and asks on. counted fills in what the cache itself counts; with hits nil its answers say what is a hit.
func (b *bench) play(ctx context.Context, url, dir string, o *node, items []item, trace, after []int, hits func() (int64, error), counted func(*played) error) (*played, error) {
	p := new(played)
	var before int64
	for q, k := range trace {
		begin := time.Now()
		n, header, err := download(ctx, url+items[k].path())
		took := time.Since(begin)
		if err != nil || n != items[k].size {
			return nil, errors.Join(fmt.Errorf("request %d: %d bytes of %d: %w", q, n, items[k].size, err), o.Stop())
		}
		hit := header.Get("X-Cache") == "HIT"
		if hits != nil {
			now, err := hits()
			if err != nil {
				return nil, errors.Join(err, o.Stop())
			}
			hit, before = now > before, now
		} else if hit {
			p.hits++
			p.hitBytes += n
		}
		if !hit {
			p.miss.Add(took.Seconds() * 1e3)
		}
		if q%25 == 0 {
			p.most = max(p.most, diskBytes(dir))
		}
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), o.Stop())
		}
	}
	err := counted(p)
	sent, second := o.sent()
	p.origin = sent
	if err := errors.Join(err, second, o.Stop()); err != nil {
		return nil, err
	}
	var alone atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for _, k := range after {
		g.Go(func() error {
			in, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			if n, _, err := download(in, url+items[k].path()); err == nil && n == items[k].size {
				alone.Add(1)
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	p.alone = int(alone.Load())
	return p, nil
}

// walkSum sums up blocks of the disk.
func walkSum(sum *int64) fs.WalkDirFunc {
	return func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, ".sock") {
			return nil
		}
		if info, err := d.Info(); err == nil {
			*sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	}
}
