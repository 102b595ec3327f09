//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"shoal/scripts/internal/program"
)

// beside starts an edge that has one release, and nginx over the same file.
func (b *bench) beside(ctx context.Context, name string, size int64) (e *node, n *nginx, i item, stop func(), err error) {
	items := []item{{app: name, version: "1.0", channel: "stable", size: size}}
	dir, err := b.repository(ctx, "repository-"+name, items)
	if err != nil {
		return nil, nil, i, nil, err
	}
	o, err := b.node(ctx, "serve", dir)
	if err != nil {
		return nil, nil, i, nil, err
	}
	if e, err = b.edge(ctx, o); err == nil {
		err = e.keeps(ctx, 1)
	}
	if err == nil {
		n, err = b.nginx(ctx, "root "+e.state+";")
	}
	if err != nil {
		return nil, nil, i, nil, errors.Join(err, o.Stop())
	}
	return e, n, items[0], func() { n.Stop(); e.Stop(); o.Stop() }, nil
}

// largeHits is about how fast a large file that is here is sent, and what that costs.
func (b *bench) largeHits(ctx context.Context) error {
	if !program.Installed("nginx") || !program.Installed("curl") {
		return nil
	}
	e, n, i, stop, err := b.beside(ctx, "large", b.large)
	if err != nil {
		return err
	}
	defer stop()
	var rate, theirRate, cpu, theirCPU program.Series
	round := func(url string, r *program.Running, rate, cpu *program.Series) error {
		before := r.CPU()
		x, err := program.Call(ctx, "curl", "-sf", "-o", "/dev/null", url+i.path())
		rate.Add(float64(b.large) / x.Wall.Seconds() / 1e6)
		cpu.Add((r.CPU() - before).Seconds() / float64(b.large) * (1 << 30))
		return err
	}
	for k := range b.rounds + 1 {
		if err := errors.Join(round(e.url, e.Running, &rate, &cpu), round(n.url, n.Running, &theirRate, &theirCPU)); err != nil {
			return err
		}
		if k == 0 {
			rate, theirRate, cpu, theirCPU = nil, nil, nil, nil
		}
	}
	program.Row(fmt.Sprintf("a file of %d MiB that is here, to `curl`", b.large>>20), "%.0f MB/s; nginx (sendfile) %.0f MB/s: %.2f × (median of %d)",
		rate.Median(), theirRate.Median(), rate.Over(theirRate), b.rounds)
	program.Row("its processor time per GiB", "%.3f s; nginx %.3f s: %.2f ×", cpu.Median(), theirCPU.Median(), cpu.Median()/theirCPU.Median())
	return nil
}

const (
	smallBytes = 16 << 10
	smallConns = 32
)

// smallHits is about how many small files are sent in a second.
func (b *bench) smallHits(ctx context.Context) error {
	if !program.Installed("nginx") {
		return nil
	}
	e, n, i, stop, err := b.beside(ctx, "small", smallBytes)
	if err != nil {
		return err
	}
	defer stop()
	var rate, theirRate, cpu, theirCPU program.Series
	round := func(url string, r *program.Running, rate, cpu *program.Series) error {
		before, begin := r.CPU(), time.Now()
		requests, err := storm(url+i.path(), b.burst)
		rate.Add(float64(requests) / time.Since(begin).Seconds())
		cpu.Add((r.CPU() - before).Seconds() / float64(requests) * 1e6)
		return err
	}
	for range b.rounds {
		if err := errors.Join(round(e.url, e.Running, &rate, &cpu), round(n.url, n.Running, &theirRate, &theirCPU)); err != nil {
			return err
		}
	}
	program.Row(fmt.Sprintf("a file of 16 KiB that is here, over %d connections", smallConns), "%.0f requests/s, %.0f µs of processor time each; nginx %.0f, %.0f µs: %.2f × as many",
		rate.Median(), cpu.Median(), theirRate.Median(), theirCPU.Median(), rate.Over(theirRate))
	return nil
}

// storm asks for a URL again and again, over smallConns connections at once, and counts the answers. It does as little itself as it can.
func storm(raw string, d time.Duration) (int64, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return 0, err
	}
	request := []byte("GET " + u.Path + " HTTP/1.1\r\nHost: " + u.Host + "\r\n\r\n")
	var answers atomic.Int64
	errs := make([]error, smallConns)
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for k := range errs {
		wg.Go(func() {
			c, err := net.Dial("tcp", u.Host)
			if err != nil {
				errs[k] = err
				return
			}
			defer c.Close()
			in := bufio.NewReaderSize(c, 32<<10)
			for time.Now().Before(end) {
				if _, errs[k] = c.Write(request); errs[k] != nil {
					return
				}
				if errs[k] = skipAnswer(in); errs[k] != nil {
					return
				}
				answers.Add(1)
			}
		})
	}
	wg.Wait()
	return answers.Load(), errors.Join(errs...)
}

func skipAnswer(in *bufio.Reader) error {
	status, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(status) < 12 || string(status[9:12]) != "200" {
		return fmt.Errorf("the answer is %q", status)
	}
	length := -1
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, ok := cutHeader(line); ok && textproto.CanonicalMIMEHeaderKey(name) == "Content-Length" {
			if length, err = strconv.Atoi(value); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return io.ErrUnexpectedEOF
	}
	_, err = in.Discard(length)
	return err
}

func cutHeader(line []byte) (name, value string, ok bool) {
	if len(line) < 16 || line[0]|0x20 != 'c' { // all others are not looked at
		return "", "", false
	}
	for k, c := range line {
		if c == ':' {
			return string(line[:k]), string(trimSpace(line[k+1:])), true
		}
	}
	return "", "", false
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r' || b[len(b)-1] == ' ') {
		b = b[:len(b)-1]
	}
	return b
}

// memory is about what an edge takes that keeps many releases.
func (b *bench) memory(ctx context.Context) error {
	const apps = 100
	var items []item
	for k := range b.releases {
		v := fmt.Sprintf("1.%d", k/apps)
		items = append(items, item{app: fmt.Sprint("app", k%apps), version: v, channel: "v" + fmt.Sprint(k/apps), size: smallBytes})
	}
	dir, err := b.repository(ctx, "repository-many", items)
	if err != nil {
		return err
	}
	o, err := b.node(ctx, "serve", dir)
	if err != nil {
		return err
	}
	defer o.Stop()
	begin := time.Now()
	e, err := b.edge(ctx, o)
	if err != nil {
		return err
	}
	defer func() { e.Stop() }()
	if err := e.keeps(ctx, b.releases); err != nil {
		return err
	}
	took := time.Since(begin)
	time.Sleep(10 * time.Second)
	full := e.RSS()
	if err := e.Stop(); err != nil {
		return err
	}
	state := e.state
	if e, err = b.edge(ctx, o, "--state-dir", state); err != nil {
		return err
	}
	if err := e.keeps(ctx, b.releases); err != nil {
		return err
	}
	time.Sleep(10 * time.Second)
	program.Row(fmt.Sprintf("memory of an edge that keeps %d releases of 16 KiB", b.releases), "%d MiB after it has fetched them all (in %.0f s), %d MiB after a restart", full>>20, took.Seconds(), e.RSS()>>20)
	return nil
}

// diskBytes is how much lies below a directory.
func diskBytes(dir string) (n int64) {
	filepath.WalkDir(dir, walkSum(&n))
	return n
}
