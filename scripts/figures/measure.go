//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// origin is a running shoal serve.
type origin struct {
	command *exec.Cmd
	urls    []string // of its contents
}

// serve starts an origin and waits until all its contents are on offer.
func (b *bench) serve(ctx context.Context, paths ...string) (*origin, error) {
	state, err := os.MkdirTemp(b.dir, "state-")
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, b.shoal, append([]string{"serve", "--json", "--listen", "127.0.0.1:0", "--state-dir", state}, paths...)...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	// The kernel kills the child when the thread that started it ends, so none may.
	runtime.LockOSThread()
	if err := c.Start(); err != nil {
		return nil, err
	}
	o := &origin{command: c}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var x struct{ Event, URL string }
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			return nil, errors.Join(err, o.stop())
		}
		switch x.Event {
		case "serving":
			o.urls = append(o.urls, x.URL)
		case "ready":
			go io.Copy(io.Discard, out)
			return o, nil
		case "error":
			return nil, errors.Join(errors.New(lines.Text()), o.stop())
		}
	}
	return nil, errors.Join(errors.New("shoal serve ended early"), o.stop())
}

func (o *origin) stop() error {
	o.command.Process.Signal(os.Interrupt)
	return o.command.Wait()
}

// cpu is the processor time that the origin has used so far.
func (o *origin) cpu() time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", o.command.Process.Pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11]) // proc(5): utime and stime, in hundredths of a second
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// rss is the memory that the origin has now.
func (o *origin) rss() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.command.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
			return n * kib
		}
	}
	return 0
}

// series is a figure's rounds.
type series []float64

func (s *series) add(x float64) { *s = append(*s, x) }

func (s series) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// over is the median of the ratios of two series, round by round.
func (s series) over(t series) float64 {
	var ratios series
	for i := range s {
		ratios.add(s[i] / t[i])
	}
	return ratios.median()
}

// spread is from the least to the greatest.
func (s series) spread(format string) string {
	return fmt.Sprintf(format+"–"+format, slices.Min(s), slices.Max(s))
}

// randomFile writes a file of n bytes that no hash or copy can take a shortcut on.
func randomFile(path string, n int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	var seed [32]byte
	copy(seed[:], path)
	_, err = io.CopyN(f, rand.NewChaCha8(seed), n)
	return errors.Join(err, f.Close())
}

// machine says what the figures hold for.
func machine() string {
	model := "processor"
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%s: %d cores of %s, linux/%s, %s", time.Now().Format(time.DateOnly), cores, model, runtime.GOARCH, runtime.Version())
}

// load is how busy the machine was in the last minute.
func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(b), " ")
	return "load average " + one
}
