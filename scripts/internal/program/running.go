//go:build linux

package program

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// FreeAddr is an address on the loopback, HOST:PORT, that nobody used over TCP a moment ago, for a program that cannot choose a port and say it.
func FreeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// Answers waits until the program takes connections at HOST:PORT, for 30 seconds at most, and stops it if it does not.
func (r *Running) Answers(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s does not answer: %w", filepath.Base(r.command.Path), err), r.Stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop interrupts the program and waits for its end.
func (r *Running) Stop() error {
	r.command.Process.Signal(os.Interrupt)
	return r.command.Wait()
}

// family are the program and its children.
func (r *Running) family() []int {
	list := []int{r.command.Process.Pid}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", list[0]))
	for _, child := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(child); err == nil {
			list = append(list, pid)
		}
	}
	return list
}

// CPU is the processor time that a process has used so far.
func CPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // its name may have anything in it
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	user, _ := strconv.ParseInt(f[11], 10, 64) // proc(5): utime and stime, in hundredths of a second
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

// CPU is the processor time that it and its children have used so far.
func (r *Running) CPU() (sum time.Duration) {
	for _, pid := range r.family() {
		spent, _ := CPU(pid) // one that has ended counts no more
		sum += spent
	}
	return sum
}

// RSS is the memory that it and its children have now, in bytes.
func (r *Running) RSS() (sum int64) {
	for _, pid := range r.family() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for line := range strings.Lines(string(b)) {
			if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				n, _ := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
				sum += n << 10
			}
		}
	}
	return sum
}
