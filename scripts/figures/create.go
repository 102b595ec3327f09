//go:build linux

package main

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"shoal/scripts/internal/program"
)

const createBytes = 1 * gib

// create compares hashing a file with what one core can hash, and with mktorrent.
func (b *bench) create(ctx context.Context) error {
	file := filepath.Join(b.dir, "create.bin")
	if err := program.RandomFile(file, createBytes); err != nil {
		return err
	}
	defer os.Remove(file)
	output := filepath.Join(b.dir, "create.torrent")
	compare := program.Installed("mktorrent")
	var both, one, hybrid, v1, mktorrent rates
	timed := func(r *rates, name string, args ...string) error {
		os.Remove(output)
		x, err := program.Call(ctx, name, args...)
		r.add(createBytes, x)
		return err
	}
	for range b.rounds {
		both.add(hashLoop(true))
		one.add(hashLoop(false))
		if err := timed(&hybrid, b.shoal, "create", file, "--format", "hybrid", "--piece-length", "1Mi", "-o", output, "-q"); err != nil {
			return err
		}
		if err := timed(&v1, b.shoal, "create", file, "--format", "v1", "--piece-length", "1Mi", "-o", output, "-q"); err != nil {
			return err
		}
		if compare {
			if err := timed(&mktorrent, "mktorrent", "-t", strconv.Itoa(cores), "-l", "20", "-o", output, file); err != nil {
				return err
			}
		}
	}
	n := float64(cores)
	program.Row("one core hashing SHA-1 and SHA-256 of 16 KiB in a loop (Go's crypto)", "%.0f MB/s", both.wall.Median())
	program.Row("`shoal create`, hybrid, 1 GiB, 1 MiB pieces, in the page cache", "%.0f MB/s = %.2f × (%d cores × that loop); per processor second %.2f × that loop",
		hybrid.wall.Median(), hybrid.wall.Over(both.wall)/n, cores, hybrid.cpu.Over(both.cpu))
	program.Row("`shoal create --format v1`, the same file", "%.0f MB/s = %.2f × (%d cores × SHA-1 alone in a loop); per processor second %.2f × that loop",
		v1.wall.Median(), v1.wall.Over(one.wall)/n, cores, v1.cpu.Over(one.cpu))
	if compare {
		program.Row("`mktorrent -t "+strconv.Itoa(cores)+"`, the same file", "%.0f MB/s; `shoal create --format v1` is %.2f × as fast, per processor second %.2f ×",
			mktorrent.wall.Median(), v1.wall.Over(mktorrent.wall), v1.cpu.Over(mktorrent.cpu))
	}
	return nil
}

// rates are rounds in MB/s: by the clock, which other programs on the machine disturb, and by processor time, which they do much less.
type rates struct{ wall, cpu program.Series }

func (r *rates) add(n int, s program.Spent) {
	r.wall.Add(float64(n) / s.Wall.Seconds() / 1e6)
	r.cpu.Add(float64(n) / s.CPU.Seconds() / 1e6)
}

// hashLoop is what one core hashes in half a second: SHA-1, and with both also SHA-256.
func hashLoop(both bool) (n int, s program.Spent) {
	buf := make([]byte, 16*kib)
	begin, used := time.Now(), processorTime()
	for time.Since(begin) < 500*time.Millisecond {
		for range 64 {
			sha1.Sum(buf)
			if both {
				sha256.Sum256(buf)
			}
			n += len(buf)
		}
	}
	return n, program.Spent{Wall: time.Since(begin), CPU: processorTime() - used}
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
