//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"shoal/piece"
	"shoal/piece/delta"
	"shoal/scripts/internal/program"
)

// bench measures pairs.
type bench struct {
	cache, tmp string
	memory     int64
}

// describe makes the .torrent beside a directory, if it is not there yet.
func describe(ctx context.Context, dir string) (*piece.Torrent, error) {
	file := dir + ".torrent"
	if t, err := piece.ReadFile(file); err == nil || !errors.Is(err, os.ErrNotExist) {
		return t, err
	}
	t, _, err := piece.Build(ctx, dir, piece.BuildConfig{Name: "content", Format: piece.Auto})
	if err != nil {
		return nil, err
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	return t, errors.Join(t.Write(f), f.Close())
}

// unpack is where the files of both versions are, beside what describes them. It is done in a process of its own: a program's peak of
// memory begins with what the one that started it had (Linux, setmax_mm_hiwater_rss), and to unpack takes more than what is measured.
func (b *bench) unpack(ctx context.Context, p pair) (old, new string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", "", err
	}
	if _, err := program.Call(ctx, self, "child", "unpack", b.cache, p.name); err != nil {
		return "", "", err
	}
	return p.unpack(ctx, b.cache)
}

// unpack does it, if it was not done before.
func (p pair) unpack(ctx context.Context, cache string) (old, new string, err error) {
	if old, err = p.old.unpack(ctx, cache); err != nil {
		return "", "", err
	}
	if p.renamed {
		new, err = renamed(old)
	} else {
		new, err = p.new.unpack(ctx, cache)
	}
	if err != nil {
		return "", "", err
	}
	for _, dir := range []string{old, new} {
		if _, err := describe(ctx, dir); err != nil {
			return "", "", err
		}
	}
	return old, new, nil
}

// measure prints a row about a pair.
func (b *bench) measure(ctx context.Context, p pair) error {
	oldDir, newDir, err := b.unpack(ctx, p)
	if err != nil {
		return err
	}
	old, err := describe(ctx, oldDir)
	if err != nil {
		return err
	}
	new, err := describe(ctx, newDir)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	patch, made := filepath.Join(b.tmp, p.name+".patch"), filepath.Join(b.tmp, p.name)
	defer os.Remove(patch)
	defer os.RemoveAll(made)
	diff, err := program.Call(ctx, self, "child", "diff", oldDir, newDir, patch, fmt.Sprint(b.memory))
	if err != nil {
		return err
	}
	var stats delta.Stats
	if err := json.Unmarshal(diff.Out, &stats); err != nil {
		return err
	}
	apply, err := program.Call(ctx, self, "child", "apply", oldDir, newDir, patch, made)
	if err != nil {
		return err
	}
	var took time.Duration // without the start of a process and the reading of descriptions
	if err := json.Unmarshal(apply.Out, &took); err != nil {
		return err
	}
	if err := check(ctx, new.Info, delta.Compare(old.Info, new.Info), made); err != nil {
		return err
	}
	packed, err := os.Stat(filepath.Join(b.cache, p.new.name))
	if err != nil {
		return err
	}
	var largest int64
	for i := range new.Files {
		largest = max(largest, new.Files[i].Length)
	}
	const mb = 1e6
	changed := float64(stats.PatchedBytes)
	fmt.Printf("| %s | %.1f | %.1f | %.1f | %d | %.3f | %g | %s | %.1f | %s | %s | %.0f |\n", p.name, float64(new.Length)/mb, changed/mb, float64(packed.Size())/mb,
		stats.Bytes, 100*float64(stats.Bytes)/float64(new.Length), p.goal, ratio("%.2f", diff.CPU.Seconds(), changed/mb), float64(diff.Peak)/float64(largest),
		ratio("%.0f", changed/mb, took.Seconds()), ratio("%.0f", changed/mb, apply.CPU.Seconds()), float64(apply.Peak)/mb)
	return nil
}

// ratio prints a/b, or a dash where there is nothing to speak of.
func ratio(format string, a, b float64) string {
	if a == 0 || b == 0 {
		return "–"
	}
	return fmt.Sprintf(format, a/b)
}
