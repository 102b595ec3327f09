//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"shoal/internal/child"
	measured "shoal/scripts/internal/program"
)

// process is a program that a host runs.
type process struct {
	what    string
	pid     int
	logs    string // its stderr
	started time.Time
	ended   chan struct{} // closed at its end; what follows is set before
	endedAt time.Time
	code    int
	cpu     time.Duration // since the round began
	peak    atomic.Int64  // most memory seen, bytes
	own     atomic.Int64  // most of it that is not files
	before  atomic.Int64  // nanoseconds of processor time that it used to get ready
	waited  atomic.Int64  // nanoseconds in which its threads could run and had no processor
}

// start runs a program on a host until ctx is done or it ends. line gets each line of its stdout.
func (r *round) start(ctx context.Context, h *host, line func(string), name string, args ...string) (*process, error) {
	p := &process{what: h.name + ": " + filepath.Base(name), logs: filepath.Join(h.dir(r), filepath.Base(name)+".log"), ended: make(chan struct{})}
	logs, err := os.Create(p.logs)
	if err != nil {
		return nil, err
	}
	c := child.Command(ctx, name, args...)
	c.Dir, c.Stderr = h.dir(r), logs
	c.Env = r.environment(h)
	fmt.Fprintf(logs, "$ %s %s\n", name, strings.Join(args, " "))
	started := make(chan error, 1)
	r.processes.Go(func() {
		// The child is born in the thread's namespace, and dies with the thread: see child.Command.
		runtime.LockOSThread()
		defer close(p.ended)
		defer logs.Close()
		stdout, err := c.StdoutPipe()
		if err == nil {
			err = h.ns.enter()
		}
		if err == nil {
			// Of the thread, and so of the child: it comes before what else this computer does.
			err = unix.Setpriority(unix.PRIO_PROCESS, 0, r.lab.nice)
		}
		if err == nil {
			p.started = time.Now()
			err = c.Start()
		}
		if err == nil {
			p.pid = c.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		in := bufio.NewScanner(stdout)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			if line != nil {
				line(in.Text())
			}
		}
		io.Copy(io.Discard, stdout) // after a line that is too long
		c.Wait()
		p.endedAt = time.Now()
		p.code = c.ProcessState.ExitCode()
		p.cpu = c.ProcessState.UserTime() + c.ProcessState.SystemTime() - time.Duration(p.before.Load())
	})
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.what, err)
	}
	r.running = append(r.running, p)
	return p, nil
}

// environment is a host's: a home of its own, and nothing that a developer has set for himself.
func (r *round) environment(h *host) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir(r), "TMPDIR=" + h.dir(r), "LANG=C.UTF-8", "SHOAL_STATE_DIR=" + filepath.Join(h.dir(r), "state")}
}

// measure reads the process's memory. The peak that the kernel reports at the end would include that of the
// lab, from which it was forked.
func (p *process) measure() {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return // it has ended
	}
	p.measureWait()
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		counter := map[string]*atomic.Int64{"VmHWM": &p.peak, "RssAnon": &p.own}[key]
		if counter == nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64); err == nil && n<<10 > counter.Load() {
			counter.Store(n << 10)
		}
	}
}

// measureWait reads how long the process's threads have waited for a processor: the measure of how far the
// computer, and not the network, set the pace.
func (p *process) measureWait() {
	var total int64
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid))
	if err != nil {
		return // it has ended
	}
	for _, t := range tasks {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", p.pid, t.Name()))
		if err != nil {
			continue
		}
		if f := strings.Fields(string(b)); len(f) > 1 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			total += n
		}
	}
	if total > p.waited.Load() {
		p.waited.Store(total)
	}
}

// ready takes what the process has used so far for preparation.
func (p *process) ready() error {
	spent, err := measured.CPU(p.pid)
	p.before.Store(int64(spent))
	return err
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// kill ends it without its knowing.
func (p *process) kill() { unix.Kill(p.pid, syscall.SIGKILL) }

// tail is the end of its log, for a person to read.
func (p *process) tail() string {
	b, err := os.ReadFile(p.logs)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "--- " + p.what + "\n" + strings.Join(lines[max(0, len(lines)-15):], "\n")
}
