//go:build linux

package program

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Running is a program that runs beside.
type Running struct {
	command *exec.Cmd
	out     io.ReadCloser
	lines   *bufio.Scanner
}

// Start starts a program, which ends with ctx, or with this one at the latest.
func Start(ctx context.Context, name string, args ...string) (*Running, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread() // the kernel kills the child when the thread that started it ends, so none may
	if err := c.Start(); err != nil {
		return nil, err
	}
	r := &Running{command: c, out: out, lines: bufio.NewScanner(out)}
	r.lines.Buffer(nil, 16<<20)
	return r, nil
}

// Lines has a function see the lines of stdout until it has seen enough; after that nobody reads them.
func (r *Running) Lines(enough func(line []byte) (bool, error)) error {
	for r.lines.Scan() {
		done, err := enough(r.lines.Bytes())
		if err != nil {
			return errors.Join(err, r.Stop())
		}
		if done {
			go io.Copy(io.Discard, r.out)
			return nil
		}
	}
	return errors.Join(fmt.Errorf("%s ended early", filepath.Base(r.command.Path)), r.Stop())
}

// Stop interrupts the program and waits for its end.
func (r *Running) Stop() error {
	r.command.Process.Signal(os.Interrupt)
	return r.command.Wait()
}

// family are the program and its children.
func (r *Running) family() []string {
	pid := strconv.Itoa(r.command.Process.Pid)
	b, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	return append([]string{pid}, strings.Fields(string(b))...)
}

// CPU is the processor time that it and its children have used so far.
func (r *Running) CPU() (sum time.Duration) {
	for _, pid := range r.family() {
		b, _ := os.ReadFile("/proc/" + pid + "/stat")
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if len(f) < 13 {
			continue
		}
		user, _ := strconv.Atoi(f[11]) // proc(5): utime and stime, in hundredths of a second
		system, _ := strconv.Atoi(f[12])
		sum += time.Duration(user+system) * 10 * time.Millisecond
	}
	return sum
}

// RSS is the memory that it and its children have now, in bytes.
func (r *Running) RSS() (sum int64) {
	for _, pid := range r.family() {
		b, _ := os.ReadFile("/proc/" + pid + "/status")
		for line := range strings.Lines(string(b)) {
			if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				n, _ := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
				sum += n << 10
			}
		}
	}
	return sum
}
