//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/fleet"
	"shoal/scripts/internal/program"
)

const poll = "/metadata/timestamp.json"

// kind is what is measured apart.
type kind struct {
	name string
	mu   sync.Mutex
	took []time.Duration
}

func (k *kind) add(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.took = append(k.took, d)
}

func (k *kind) at(share float64) float64 {
	if len(k.took) == 0 {
		return 0
	}
	return float64(k.took[min(len(k.took)-1, int(share*float64(len(k.took))))].Microseconds()) / 1000
}

// client asks each time on a new connection.
func (l *load) client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

func (l *load) ready(ctx context.Context) error {
	for {
		resp, err := l.client().Get(l.base + poll)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// measure has each machine report once, which makes its record, and then measures the rate of the fleet.
func (l *load) measure(ctx context.Context, pid int) error {
	sequence := make([]atomic.Uint64, l.machines)
	begun := time.Now()
	next, failed := make(chan int), new(atomic.Int64)
	var g sync.WaitGroup
	for range 64 {
		g.Go(func() {
			c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			for n := range next {
				if err := l.report(ctx, c, n, sequence[n].Add(1), true); err != nil && failed.Add(1) == 1 {
					fmt.Fprintln(os.Stderr, "the first failure:", err)
				}
			}
		})
	}
	for n := range l.machines {
		next <- n
	}
	close(next)
	g.Wait()
	fmt.Fprintf(os.Stderr, "each has reported once, %.0f a second, %d failed\n", float64(l.machines)/time.Since(begun).Seconds(), failed.Load())
	time.Sleep(2 * time.Second)

	tag, bytesOut, bytesIn, err := l.pollBytes()
	if err != nil {
		return err
	}
	again, fresh, polls := &kind{name: "report, nothing new"}, &kind{name: "report, something new: durable when answered"}, &kind{name: "poll, nothing new"}
	rate := float64(2*l.machines) / l.every.Seconds()
	// This program's own collector, on its one core, would be most of what is measured.
	runtime.GC()
	debug.SetMemoryLimit(2 << 30)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before, err := program.CPU(pid)
	if err != nil {
		return err
	}
	begin := time.Now()
	for at := time.Duration(0); at < l.time && ctx.Err() == nil; at += time.Duration(rand.ExpFloat64() / rate * float64(time.Second)) {
		time.Sleep(at - time.Since(begin))
		n := rand.N(l.machines)
		isPoll, isNew := rand.N(2) == 0, rand.Float64() < l.new
		g.Go(func() {
			start := time.Now()
			k, err := again, error(nil)
			switch {
			case isPoll:
				k, err = polls, l.poll(ctx, tag)
			case isNew:
				k = fresh
				fallthrough
			default:
				err = l.report(ctx, l.client(), n, sequence[n].Add(1), !isNew)
			}
			if err != nil {
				failed.Add(1)
				return
			}
			k.add(time.Since(start))
		})
	}
	g.Wait()
	took := time.Since(begin)
	spent, err := program.CPU(pid)
	if err != nil {
		return err
	}
	spent -= before
	fmt.Printf("| %d machines, each every %s, on one core for %.0f s | requests | median | 99th percentile |\n| --- | --: | --: | --: |\n", l.machines, l.every, took.Seconds())
	all := &kind{name: "all of them", took: slices.Concat(again.took, fresh.took, polls.took)}
	for _, k := range []*kind{again, fresh, polls, all} {
		slices.Sort(k.took)
		fmt.Printf("| %s | %d | %.1f ms | %.1f ms |\n", k.name, len(k.took), k.at(0.5), k.at(0.99))
	}
	fmt.Printf("\nThe origin used %.0f%% of its core. A poll with nothing new is %d bytes out and %d bytes in. %d requests failed.\n", 100*spent.Seconds()/took.Seconds(), bytesOut, bytesIn, failed.Load())
	return nil
}

// report posts a report of machine n.
func (l *load) report(ctx context.Context, c *http.Client, n int, sequence uint64, again bool) error {
	r := fleet.Report{Sequence: sequence, At: time.Now().UTC(), Every: int64(l.every / time.Second), Machine: machine(n), App: "app", Channel: "stable", Platform: "linux-amd64",
		Site: "site-" + machine(n)[28:], State: "current", Version: "1", Running: "1", Again: again}
	body, err := r.Encode()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.base+fleet.ReportPath, bytes.NewReader(body))
	if err != nil {
		return err
	}
	l.keys[n].Sign(req.Header, fleet.ForReport, body)
	return done(c, req, http.StatusOK)
}

func (l *load) poll(ctx context.Context, tag string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+poll, nil)
	if err != nil {
		return err
	}
	req.Header.Set("If-None-Match", tag)
	return done(l.client(), req, http.StatusNotModified)
}

func done(c *http.Client, req *http.Request, status int) error {
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != status {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

// counted counts what goes over a connection.
type counted struct {
	net.Conn
	out, in *int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	*c.out += int64(n)
	return n, err
}
func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	*c.in += int64(n)
	return n, err
}

// pollBytes is the tag of what there is, and how long a poll for something new is in HTTP, both ways.
func (l *load) pollBytes() (tag string, out, in int64, err error) {
	resp, err := http.Get(l.base + poll)
	if err != nil {
		return "", 0, 0, err
	}
	resp.Body.Close()
	tag = resp.Header.Get("ETag")
	req, err := http.NewRequest(http.MethodGet, l.base+poll, nil)
	if err != nil {
		return "", 0, 0, err
	}
	req.Header.Set("If-None-Match", tag)
	req.Header.Set("User-Agent", "shoal/1.0.0 (linux-amd64)")
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return counted{conn, &out, &in}, err
	}}}
	err = done(c, req, http.StatusNotModified)
	c.CloseIdleConnections()
	return tag, out, in, err
}
