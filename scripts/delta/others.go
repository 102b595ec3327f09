//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"shoal/scripts/internal/program"
)

// compare measures in one run what an update by shoal costs, and what other programs make of the same pair: xdelta3 and zsync of tars of the two versions,
// which leaves the tar to be unpacked; casync of the directories; and curl with tar or unzip of the archive of the new one. None but shoal verifies what
// it makes by signatures, nor sees to it that a power cut finds it on the disk. Programs that are not installed are left out.
func (b *bench) compare(ctx context.Context, p pair) error {
	oldDir, newDir, err := b.unpack(ctx, p)
	if err != nil {
		return err
	}
	dir := filepath.Join(b.tmp, "others")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	oldTar, newTar := filepath.Join(dir, "old.tar"), filepath.Join(dir, "new.tar")
	for tar, from := range map[string]string{oldTar: oldDir, newTar: newDir} {
		if _, err := program.Call(ctx, "tar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-cf", tar, "-C", from, "."); err != nil {
			return err
		}
	}
	web, err := serve(map[string]string{"/content/": dir, "/archive/": b.cache})
	if err != nil {
		return err
	}
	defer web.close()
	for _, other := range []func() error{
		func() error { return b.update(ctx, p, dir, oldDir, newDir) },
		func() error { return xdelta(ctx, p, dir, oldTar, newTar) },
		func() error { return web.zsync(ctx, p, dir, oldTar, newTar) },
		func() error { return web.casync(ctx, p, dir, oldDir, newDir) },
		func() error { return web.curl(ctx, p, dir) },
	} {
		if err := other(); err != nil && !errors.Is(err, exec.ErrNotFound) {
			return err
		}
	}
	return nil
}

func xdelta(ctx context.Context, p pair, dir, old, new string) error {
	patch := filepath.Join(dir, "xdelta")
	diff, err := program.Call(ctx, "xdelta3", "-e", "-6", "-S", "lzma", "-B", "536870912", "-s", old, new, patch)
	if err != nil {
		return err
	}
	apply, err := program.Call(ctx, "xdelta3", "-d", "-B", "536870912", "-s", old, patch, filepath.Join(dir, "made"))
	if err != nil {
		return err
	}
	fi, err := os.Stat(patch)
	if err != nil {
		return err
	}
	other(p, "xdelta3 -6 -S lzma", fi.Size(), diff, apply)
	return nil
}

// other prints a row about another program.
func other(p pair, name string, fetched int64, publisher, client program.Spent) {
	fmt.Printf("| %s | %s | %d | %.1f | %.1f | %.1f |\n", p.name, name, fetched, publisher.CPU.Seconds(), client.CPU.Seconds(), client.Wall.Seconds())
}

// web is an HTTP server that counts what it sends.
type web struct {
	server http.Server
	url    string
	done   chan error
	sent   atomic.Int64
}

func serve(dirs map[string]string) (*web, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &web{url: "http://" + l.Addr().String(), done: make(chan error, 1)}
	mux := http.NewServeMux()
	for prefix, dir := range dirs {
		files := http.StripPrefix(prefix, http.FileServer(http.Dir(dir)))
		mux.HandleFunc(prefix, func(rw http.ResponseWriter, r *http.Request) { files.ServeHTTP(&counting{rw, &w.sent}, r) })
	}
	w.server.Handler = mux
	go func() { w.done <- w.server.Serve(l) }()
	return w, nil
}

func (w *web) close() {
	w.server.Close()
	<-w.done
}

type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

// WriteHeader has an answer of several ranges begin with an empty line, as other servers' do: zsync 0.6 does not find the first range without it, and asks for ever.
func (c *counting) WriteHeader(status int) {
	h := c.Header()
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && strings.HasPrefix(h.Get("Content-Type"), "multipart/") {
		h.Set("Content-Length", strconv.FormatInt(n+2, 10))
		c.ResponseWriter.WriteHeader(status)
		c.ResponseWriter.Write([]byte("\r\n"))
		return
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n.Add(int64(n))
	return n, err
}

func (w *web) zsync(ctx context.Context, p pair, dir, old, new string) error {
	index := filepath.Join(dir, "new.tar.zsync")
	made, err := program.Call(ctx, "zsyncmake", "-u", w.url+"/content/new.tar", "-o", index, new)
	if err != nil {
		return err
	}
	w.sent.Store(0)
	short, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	fetched, err := program.Call(short, "zsync", "-q", "-i", old, "-o", filepath.Join(dir, "zsynced"), w.url+"/content/new.tar.zsync")
	if short.Err() != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "zsync has not come to an end in a minute")
		return nil
	}
	if err != nil {
		return err
	}
	other(p, "zsync", w.sent.Load(), made, fetched)
	return nil
}

// casync cuts the new version into a store of chunks, and extracts it with the old version as a seed.
func (w *web) casync(ctx context.Context, p pair, dir, old, new string) error {
	index := filepath.Join(dir, "new.caidx")
	made, err := program.Call(ctx, "casync", "make", "--store="+filepath.Join(dir, "store"), index, new)
	if err != nil {
		return err
	}
	w.sent.Store(0)
	fetched, err := program.Call(ctx, "casync", "extract", "--store="+w.url+"/content/store", "--seed="+old, w.url+"/content/new.caidx", filepath.Join(dir, "casynced"))
	if err != nil {
		return err
	}
	other(p, "casync", w.sent.Load(), made, fetched)
	return nil
}

// curl fetches the whole archive and unpacks it.
func (w *web) curl(ctx context.Context, p pair, dir string) error {
	to := filepath.Join(dir, "unpacked")
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	unpack := `curl -sf "$0" | tar xz -C "$1"`
	if filepath.Ext(p.new.name) == ".zip" {
		unpack = `curl -sf -o "$1/zip" "$0" && unzip -q "$1/zip" -d "$1"`
	}
	w.sent.Store(0)
	s, err := program.Call(ctx, "sh", "-c", unpack, w.url+"/archive/"+p.new.name, to)
	if err != nil {
		return err
	}
	other(p, "curl and unpack", w.sent.Load(), program.Spent{}, s)
	return nil
}
