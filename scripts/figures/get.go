//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"shoal/scripts/internal/program"
)

// offered makes a file of random bytes and an origin for it.
func (b *bench) offered(ctx context.Context, name string, n int64) (*origin, error) {
	file := filepath.Join(b.dir, name)
	if err := program.RandomFile(file, n); err != nil {
		return nil, err
	}
	return b.serve(ctx, file)
}

// get fetches an origin's first content anew.
func (b *bench) get(ctx context.Context, o *origin, args ...string) (program.Spent, error) {
	dir := filepath.Join(b.dir, "got")
	defer os.RemoveAll(dir)
	return program.Call(ctx, b.shoal, append([]string{"get", o.urls[0], "-o", dir, "-q", "--listen", "127.0.0.1:0"}, args...)...)
}

func (b *bench) curl(ctx context.Context, o *origin) (program.Spent, error) {
	file := filepath.Join(b.dir, "curled")
	defer os.Remove(file)
	return program.Call(ctx, "curl", "-sf", "-o", file, o.urls[0])
}

// start is about small contents: what a get costs from the process's start to its exit.
func (b *bench) start(ctx context.Context) error {
	o, err := b.offered(ctx, "small.bin", 10*mib)
	if err != nil {
		return err
	}
	defer o.Stop()
	compare := program.Installed("curl")
	var get, curl program.Series // ms
	for range b.starts {
		x, err := b.get(ctx, o)
		if err != nil {
			return err
		}
		get.Add(x.Wall.Seconds() * 1e3)
		if compare {
			x, err := b.curl(ctx, o)
			if err != nil {
				return err
			}
			curl.Add(x.Wall.Seconds() * 1e3)
		}
	}
	program.Row("`shoal get` of 10 MiB from an origin on loopback, process start to exit", "%.0f ms (median of %d; %s)", get.Median(), b.starts, get.Spread("%.0f"))
	if compare {
		program.Row("`curl` of the same file from the same port, nothing verified", "%.0f ms", curl.Median())
	}
	return nil
}

// oneToOne is about the rate between two machines, and what it costs them.
func (b *bench) oneToOne(ctx context.Context) error {
	const size = 256 * mib
	o, err := b.offered(ctx, "large.bin", size)
	if err != nil {
		return err
	}
	defer o.Stop()
	var rate, web, mine, theirs, peak program.Series
	for range b.rounds {
		before := o.CPU()
		x, err := b.get(ctx, o)
		if err != nil {
			return err
		}
		rate.Add(size / x.Wall.Seconds() / 1e6)
		mine.Add(x.CPU.Seconds())
		theirs.Add((o.CPU() - before).Seconds())
		peak.Add(float64(x.Peak) / mib)
		if x, err = b.get(ctx, o, "--peers", "off"); err != nil {
			return err
		}
		web.Add(size / x.Wall.Seconds() / 1e6)
	}
	program.Row("`shoal get` of 256 MiB from one origin on loopback", "%.0f MB/s (median of %d; %s)", rate.Median(), b.rounds, rate.Spread("%.0f"))
	program.Row("its processor time", "%.2f s in `get`, %.2f s in `serve`", mine.Median(), theirs.Median())
	program.Row("the same with `--peers off`: verified HTTP", "%.0f MB/s", web.Median())
	program.Row("most memory of that `get`", "%.0f MiB", peak.Median())
	return nil
}

// memory is about how a get's memory grows with the content.
func (b *bench) memory(ctx context.Context) error {
	if !b.large {
		return nil
	}
	const size = 10 * gib
	file := filepath.Join(b.dir, "huge.bin")
	if err := program.RandomFile(file, size); err != nil {
		return err
	}
	defer os.Remove(file)
	o, err := b.serve(ctx, file)
	if err != nil {
		return err
	}
	defer o.Stop()
	x, err := b.get(ctx, o)
	if err != nil {
		return err
	}
	program.Row("`shoal get` of 10 GiB from one origin on loopback", "%.0f MB/s, most memory %d MiB", size/x.Wall.Seconds()/1e6, x.Peak/mib)
	return nil
}

// idleSeeder is about what contents cost that nobody asks for.
func (b *bench) idleSeeder(ctx context.Context) error {
	const watched = 20 * time.Second
	for _, n := range []int{1, b.idle} {
		var paths []string
		dir := filepath.Join(b.dir, fmt.Sprint("idle-", n))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		for i := range n {
			paths = append(paths, filepath.Join(dir, fmt.Sprintf("content-%05d", i)))
			if err := program.RandomFile(paths[i], 64*kib); err != nil {
				return err
			}
		}
		begin := time.Now()
		o, err := b.serve(ctx, paths...)
		if err != nil {
			return err
		}
		ready := time.Since(begin)
		// The first announces, to its own tracker, are still under way.
		if err := sleep(ctx, watched); err != nil {
			return err
		}
		before := o.CPU()
		if err := sleep(ctx, watched); err != nil {
			return err
		}
		program.Row(fmt.Sprintf("idle `shoal serve` of %d content%s", n, map[bool]string{false: "s"}[n == 1]), "%d MiB of memory, %.1f %% of one core; ready after %.1f s",
			o.RSS()/mib, 100*(o.CPU()-before).Seconds()/watched.Seconds(), ready.Seconds())
		if err := o.Stop(); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
