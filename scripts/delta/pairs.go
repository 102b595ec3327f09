//go:build linux

package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"shoal/internal/disk"
)

// A pair is two releases of a product.
type pair struct {
	name     string
	old, new archive
	goal     float64 // bytes of the patch, % of the new version's files
	renamed  bool    // new is old with all files in another directory
}

// An archive is a release as its publisher serves it.
type archive struct {
	name string // of the file in the cache
	url  string
}

func toolchain(version string) archive {
	return archive{"go" + version + ".zip", "https://proxy.golang.org/golang.org/toolchain/@v/v0.0.1-go" + version + ".linux-amd64.zip"}
}

func npm(name, version string) archive {
	base := path.Base(name)
	return archive{base + "-" + version + ".tgz", "https://registry.npmjs.org/" + name + "/-/" + base + "-" + version + ".tgz"}
}

var pairs = []pair{
	{"go-patch", toolchain("1.26.10"), toolchain("1.26.11"), 0.8, false},
	{"go-minor", toolchain("1.25.14"), toolchain("1.26.0"), 10, false},
	{"typescript", npm("typescript", "5.9.2"), npm("typescript", "5.9.3"), 0.05, false},
	{"next", npm("next", "16.4.5"), npm("next", "16.4.6"), 0.05, false},
	{"next-swc", npm("@next/swc-linux-x64-gnu", "16.4.5"), npm("@next/swc-linux-x64-gnu", "16.4.6"), 2.5, false},
	{"bun", npm("@oven/bun-linux-x64", "1.4.4"), npm("@oven/bun-linux-x64", "1.4.5"), 4, false},
	{"esbuild", npm("@esbuild/linux-x64", "0.28.1"), npm("@esbuild/linux-x64", "0.28.2"), 4.5, false},
	{"renamed", toolchain("1.26.11"), toolchain("1.26.11"), 2.5, true},
}

// fetch returns the path of an archive in the cache, where it is put if it is not there yet.
func (a archive) fetch(ctx context.Context, cache string) (string, error) {
	to := filepath.Join(cache, a.name)
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	fmt.Fprintf(os.Stderr, "fetching %s\n", a.url)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", a.url, resp.Status)
	}
	part := to + ".part"
	f, err := os.Create(part)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, resp.Body)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return to, os.Rename(part, to)
}

// unpack returns the directory of an archive's files in the cache, where it is unpacked if it was not yet.
func (a archive) unpack(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, strings.TrimSuffix(a.name, path.Ext(a.name)))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	file, err := a.fetch(ctx, cache)
	if err != nil {
		return "", err
	}
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	if path.Ext(a.name) == ".zip" {
		err = unzip(file, part)
	} else {
		err = untar(file, part)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return dir, os.Rename(part, dir)
}

// unzip unpacks a module zip without the directory that is named after the version.
func unzip(file, to string) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		_, name, _ := strings.Cut(f.Name, "@")
		_, name, _ = strings.Cut(name, "/")
		r, err := f.Open()
		if err != nil {
			return err
		}
		if err := put(to, name, r); err != nil {
			return err
		}
	}
	return nil
}

func untar(file, to string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		_, name, _ := strings.Cut(h.Name, "/")
		if err := put(to, name, t); err != nil {
			return err
		}
	}
}

func put(dir, name string, r io.Reader) error {
	if !fs.ValidPath(name) {
		return fmt.Errorf("%q is no path", name)
	}
	to := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return disk.WriteFile(to, b, 0o644)
}

// renamed returns a copy of a tree in which every file has another name.
func renamed(dir string) (string, error) {
	to := dir + "-renamed"
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	return to, os.CopyFS(filepath.Join(to, "moved-1.0"), os.DirFS(dir))
}
