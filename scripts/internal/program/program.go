//go:build unix

// Package program runs programs that are measured.
package program

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Spent is what a program took.
type Spent struct {
	Wall, CPU time.Duration
	Peak      int64 // bytes of memory
	Out       []byte
}

// Call runs a program to its end; an error has what it wrote to stderr.
func Call(ctx context.Context, name string, args ...string) (Spent, error) {
	c := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	begin := time.Now()
	if err := c.Run(); err != nil {
		return Spent{}, fmt.Errorf("%s %.60q: %w: %s", filepath.Base(name), args, err, bytes.TrimSpace(errs.Bytes()))
	}
	s := Spent{Wall: time.Since(begin), CPU: c.ProcessState.UserTime() + c.ProcessState.SystemTime(), Out: out.Bytes()}
	if s.Peak = c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; runtime.GOOS != "darwin" {
		s.Peak <<= 10 // KiB, but for macOS
	}
	return s, nil
}
