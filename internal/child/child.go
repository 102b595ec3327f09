// Package child runs other programs so that none outlives its parent: the demo, the tests and the
// lab start many.
package child

import (
	"context"
	"os"
	"os/exec"
	"time"
)

// grace is how long a program may take to end after it was asked to.
const grace = 3 * time.Second

// Command prepares a program that is asked to end when ctx is done, and killed when it does not.
// Where the system can do it, it is killed as well when this process dies without a word.
//
// On Linux the kernel ties that to the thread which starts the program: start and wait for it in
// one goroutine that has called runtime.LockOSThread.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = grace
	dieWithParent(c)
	return c
}

// Group is Command for programs that start others in turn: when ctx is done it is killed at once, and all that it has started with it, as far as that has not
// left its process group. Where there are no process groups it alone is killed. What it leaves behind when it ends by itself goes on.
func Group(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := Command(ctx, name, args...)
	ownGroup(c)
	c.Cancel = func() error { return killGroup(c) }
	return c
}
