//go:build linux

package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"shoal/internal/disk"
	"shoal/piece"
	"shoal/piece/delta"
)

// child is what is measured, in a process of its own so that its memory is its own:
//
//	diff OLD NEW PATCH MEMORY
//	apply OLD NEW PATCH TO
//	unpack CACHE PAIR
//
// OLD and NEW are directories, described by a .torrent beside them.
func child(ctx context.Context, args []string) error {
	if args[0] == "unpack" {
		i := slices.IndexFunc(pairs, func(p pair) bool { return p.name == args[2] })
		_, _, err := pairs[i].unpack(ctx, args[1])
		return err
	}
	old, err := tree(args[1])
	if err != nil {
		return err
	}
	new, err := tree(args[2])
	if err != nil {
		return err
	}
	if args[0] == "apply" {
		return apply(ctx, old, new.Info, args[3], args[4])
	}
	memory, err := strconv.ParseInt(args[4], 10, 64)
	if err != nil {
		return err
	}
	f, err := os.Create(args[3])
	if err != nil {
		return err
	}
	memory = cmp.Or(memory, delta.DefaultMemory(old.Info, new.Info))
	debug.SetMemoryLimit(memory + delta.BesideMemory) // as publish does
	stats, err := delta.Diff(ctx, old, new, f, delta.Options{Memory: memory})
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(stats)
}

func tree(dir string) (delta.Tree, error) {
	t, err := piece.ReadFile(dir + ".torrent")
	if err != nil {
		return delta.Tree{}, err
	}
	dirs, err := disk.OpenDirs(dir)
	if err != nil {
		return delta.Tree{}, err
	}
	return delta.Tree{Info: t.Info, Open: func(file int) (delta.Source, error) { // as deliver does it
		f, err := dirs.Open(filepath.Join(t.Info.Files[file].Path...))
		if err != nil {
			return nil, err
		}
		return f, nil
	}}, nil
}

func apply(ctx context.Context, old delta.Tree, new *piece.Info, patch, to string) error {
	f, err := os.Open(patch)
	if err != nil {
		return err
	}
	defer f.Close()
	debug.SetGCPercent(150) // as get does
	start := time.Now()
	if err := delta.Apply(ctx, old, f, delta.Want{V2: new.V2, Length: new.Length}, &directory{path: to}); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(time.Since(start))
}

// directory is a sink that puts the files a patch makes below a directory.
type directory struct {
	path string
	new  *piece.Info
	buf  *bufio.Writer // Apply writes one file after the other
}

func (d *directory) Begin(new *piece.Info, c delta.Changes) error {
	d.new = new
	return nil
}

func (d *directory) Create(file int) (io.WriteCloser, error) {
	to := d.place(file)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return nil, err
	}
	perm := os.FileMode(0o644)
	if d.new.Files[file].Executable {
		perm = 0o755
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return nil, err
	}
	if d.buf == nil {
		d.buf = bufio.NewWriterSize(nil, 256<<10)
	}
	d.buf.Reset(f)
	return buffered{d.buf, f}, nil
}

// buffered is a file that is written in few calls.
type buffered struct {
	*bufio.Writer
	file *os.File
}

func (b buffered) Close() error { return errors.Join(b.Flush(), b.file.Close()) }

func (d *directory) place(file int) string {
	return filepath.Join(d.path, filepath.Join(d.new.Files[file].Path...))
}

// check compares what a patch made with the new version.
func check(ctx context.Context, new *piece.Info, c delta.Changes, dir string) error {
	r, err := piece.Verify(ctx, new, dir, piece.VerifyConfig{Select: func(i int) bool {
		return c.Files[i].Kind <= delta.Changed && new.Files[i].Length > 0 && new.Files[i].Symlink == nil
	}})
	if err != nil {
		return err
	}
	if !r.OK() {
		return fmt.Errorf("the patch made something else than the new version: %+v", r)
	}
	return nil
}
