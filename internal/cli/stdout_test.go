package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// What waits for stdout goes with the process: of one that is interrupted at once, as it says, and of one that was killed with the next.
func TestStdoutLeavesNothing(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 5<<20)
	_, serving := origin(h, content)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	left := func() []os.DirEntry {
		t.Helper()
		entries, err := os.ReadDir(h.Path("tmp"))
		if err != nil {
			t.Fatal(err)
		}
		return entries
	}
	var readers sync.WaitGroup
	t.Cleanup(readers.Wait)
	// begun is a run in the middle of its content.
	begun := func() (p *exec.Cmd, stderr *bytes.Buffer) {
		t.Helper()
		p, stderr = h.Shoal(ctx, "get", serving.String("url"), "--stdout", "-q", "--limit-down", "500K", "--limit-lan", "500K"), new(bytes.Buffer)
		p.Stderr = stderr
		pipe, err := p.StdoutPipe()
		if err := errors.Join(err, p.Start()); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(pipe, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if len(left()) == 0 {
			t.Fatal("nothing waits in the temporary directory")
		}
		readers.Go(func() { io.Copy(io.Discard, pipe) })
		return p, stderr
	}
	ended := func(p *exec.Cmd, signal syscall.Signal) int {
		p.Process.Signal(signal)
		p.Wait()
		return p.ProcessState.ExitCode()
	}
	p, stderr := begun()
	if code := ended(p, syscall.SIGINT); code != exitInterrupted || !strings.Contains(stderr.String(), "nothing is kept") || len(left()) > 0 {
		t.Errorf("interrupted: exit code %d, %q, left %v; want %d, that nothing is kept, and nothing", code, stderr, left(), exitInterrupted)
	}
	killed, _ := begun()
	ended(killed, syscall.SIGKILL)
	if n := len(left()); n != 1 {
		t.Fatalf("%d directories are left of one that was killed, want 1", n)
	}
	p, _ = begun()
	if n := len(left()); n != 1 {
		t.Errorf("%d directories while the next one runs, want its own", n)
	}
	other, _ := begun()
	if n := len(left()); n != 2 {
		t.Errorf("%d directories while two run, want theirs", n)
	}
	ended(other, syscall.SIGINT)
	ended(p, syscall.SIGINT)
	if l := left(); len(l) > 0 {
		t.Errorf("left in the temporary directory: %v", l)
	}
}
