//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// namespace is a network of its own in this computer.
type namespace struct{ name string }

// addNamespace makes one, which is to be set up. Its name must begin with that of the run.
func addNamespace(ctx context.Context, name string) (*namespace, error) {
	if err := command(ctx, "", "ip", "netns", "add", name); err != nil {
		return nil, err
	}
	return &namespace{name}, nil
}

// setup does to a namespace what all have in common.
func (n *namespace) setup(ctx context.Context) error {
	if err := errors.Join(allowCubic(), n.batch(ctx, "ip", "link set lo up")); err != nil {
		return err
	}
	return n.inside(func() error {
		for name, value := range map[string]string{
			"tcp_congestion_control":  "cubic", // what most machines have, whatever this one has
			"tcp_no_metrics_save":     "1",     // a round knows nothing of the one before
			"ip_forward":              "1",
			"conf/all/send_redirects": "0",
		} {
			if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// batch runs commands of ip or tc in the namespace, all in one process.
func (n *namespace) batch(ctx context.Context, tool string, lines ...string) error {
	if len(lines) == 0 {
		return nil
	}
	return command(ctx, strings.Join(lines, "\n")+"\n", tool, "-n", n.name, "-batch", "-")
}

// enter moves the calling thread into the namespace. The goroutine must have locked itself to it, and end
// without unlocking: the thread ends with it.
func (n *namespace) enter() error {
	fd, err := unix.Open("/run/netns/"+n.name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", n.name, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering network namespace %s: %w", n.name, err)
	}
	return nil
}

// inside runs f in the namespace: sockets that it opens belong there. f must not leave its goroutine.
func (n *namespace) inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := n.enter()
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func (n *namespace) remove() { exec.Command("ip", "netns", "del", n.name).Run() }

// allowCubic lets namespaces use cubic where the computer's own list does not have it. That list is one for
// all; it stays longer than before.
func allowCubic() error {
	const list = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
	b, err := os.ReadFile(list)
	if err != nil || slices.Contains(strings.Fields(string(b)), "cubic") {
		return err
	}
	return os.WriteFile(list, []byte(strings.TrimSpace(string(b))+" cubic"), 0)
}

// sweep removes what labs left behind that were killed: namespaces, and directories in dir.
func sweep(dir string) {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return
	}
	for line := range strings.Lines(string(out)) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); orphan(name) {
			(&namespace{name}).remove()
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	if err != nil {
		return
	}
	for _, path := range left {
		if orphan(filepath.Base(path)) {
			os.RemoveAll(path)
		}
	}
}

// orphan says whether a name is that of something of a lab that is no more.
func orphan(name string) bool {
	var pid int
	_, err := fmt.Sscanf(name, prefix+"%d-", &pid)
	return err == nil && pid > 0 && unix.Kill(pid, 0) == unix.ESRCH
}

// prefix opens the names of all that a lab makes; the number of its process follows.
const prefix = "shoallab-"

// command runs a program to its end.
func command(ctx context.Context, stdin, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdin = strings.NewReader(stdin)
	if out, err := c.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s %s: %w: %.500s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
