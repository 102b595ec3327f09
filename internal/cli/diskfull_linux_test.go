package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shoal/internal/swarmtest"
)

// smallDisk mounts a file system of that many bytes.
func smallDisk(t *testing.T, h *swarmtest.Host, options string) (dir string) {
	t.Helper()
	dir = h.Path("disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mounting a tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// A disk that is too small is known before the first byte.
func TestDiskTooSmall(t *testing.T) {
	swarmtest.Require(t, "netns")
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.Tree(t, h.Path("release"), 6<<20)
	origin, serving := origin(h, content)
	disk := smallDisk(t, h, "size=3m")
	p := h.Run("get", serving.String("url"), "-o", disk).Fail(exitLocal)
	if e := p.Expect("error"); e.String("rule") != "disk-full" || !strings.Contains(e.String("message"), "are needed") || e.String("hint") == "" {
		t.Errorf("error object %v", e)
	}
	if left := leftovers(t, disk); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if err := syscall.Mount("none", disk, "tmpfs", syscall.MS_REMOUNT, "size=12m"); err != nil {
		t.Fatal(err)
	}
	h.Run("get", serving.String("url"), "-o", disk).Succeed()
	swarmtest.Same(t, content, filepath.Join(disk, "release"))
	origin.Stop()
}

// A disk that somebody else fills meanwhile: get ends at once, and goes on when there is room.
func TestDiskFullMidway(t *testing.T) {
	swarmtest.Require(t, "netns")
	for name, args := range map[string][]string{"from peers": nil, "from a web seed": {"--peers", "off"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := swarmtest.Local(t)
			content := swarmtest.Tree(t, h.Path("release"), 6<<20)
			_, serving := origin(h, content, "--limit-up", "2Mi")
			disk := smallDisk(t, h, "size=9m")
			get := append([]string{"get", serving.String("url"), "-o", disk}, args...)
			p := h.Start(get...)
			p.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 0 })
			junk := filepath.Join(disk, "junk")
			if err := os.WriteFile(junk, make([]byte, 9<<20), 0o644); err == nil {
				t.Fatal("the disk is not full")
			}
			p.Fail(exitLocal)
			if e := p.Expect("error"); e.String("rule") != "disk-full" || e.String("message") == "" || e.String("hint") == "" || p.Stderr() != "" {
				t.Errorf("error object %v, stderr %q", e, p.Stderr())
			}
			// Still no room: the same, and nothing gets lost.
			h.Run(get...).Fail(exitLocal)
			if err := syscall.Mount("none", disk, "tmpfs", syscall.MS_REMOUNT, "size=20m"); err != nil {
				t.Fatal(err)
			}
			done := h.Run(get...).Succeed().Expect("done")
			if done.Int("from.reuse") == 0 {
				t.Errorf("%v: nothing was kept", done)
			}
			if err := os.Remove(junk); err != nil {
				t.Fatal(err)
			}
			swarmtest.Same(t, content, filepath.Join(disk, "release"))
			if left := leftovers(t, disk); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// A version that does not fit leaves the one in place alone, and no part of itself; with room it is installed.
func TestUpdateDiskFull(t *testing.T) {
	swarmtest.Require(t, "netns")
	t.Parallel()
	p := newPublisher(t)
	h := swarmtest.Local(t)
	disk := smallDisk(t, h, "size=2m")
	opt := filepath.Join(disk, "opt")
	h.Run("update", p.source, "--to", opt, "--root", p.root, "--once").Succeed()
	two := p.publish("2")
	failed := h.Run("update", "--to", opt, "--once").Fail(exitLocal)
	if e := failed.Expect("error"); e.String("rule") != "disk-full" {
		t.Errorf("error object %v", e)
	}
	swarmtest.Same(t, p.h.Path("kept", "1"), filepath.Join(opt, "current"))
	if left, err := os.ReadDir(filepath.Join(opt, ".shoal", "stage")); err != nil || len(left) > 0 {
		t.Errorf("left in stage: %v %v", left, err)
	}
	if err := syscall.Mount("none", disk, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	h.Run("update", "--to", opt, "--once").Succeed()
	swarmtest.Same(t, two, filepath.Join(opt, "current"))
}
