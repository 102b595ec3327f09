package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestIsNoSpace(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full:", err)
	}
	defer f.Close()
	_, err = f.Write([]byte("x"))
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"write to a full device", fmt.Errorf("wrapped: %w", err), true},
		{"quota", &os.PathError{Op: "write", Err: syscall.EDQUOT}, true},
		{"refused by Reserve", fmt.Errorf("x: %w", &NoSpaceError{}), true},
		{"another error", syscall.EIO, false},
		{"none", nil, false},
	} {
		if got := IsNoSpace(c.err); got != c.want {
			t.Errorf("%s: IsNoSpace(%v) = %v, want %v", c.name, c.err, got, c.want)
		}
	}
}

func TestReserveKeepsTheSize(t *testing.T) {
	f := create(t, "part")
	if _, err := f.WriteString("begun"); err != nil {
		t.Fatal(err)
	}
	if err := Reserve(f, 0, 4<<20); err != nil {
		t.Fatal(err)
	}
	fi, err := f.Stat()
	if err != nil || fi.Size() != 5 {
		t.Errorf("size after Reserve = %d, %v; want 5", fi.Size(), err)
	}
	if got := allocated(f); got != 0 && got < 4<<20 && supportsFallocate(f) {
		t.Errorf("blocks after Reserve = %d bytes, want at least %d", got, 4<<20)
	}
	if err := Reserve(f, 0, -1); err == nil {
		t.Error("Reserve of a negative length succeeded")
	}
}

func TestReserveRefusesMoreThanIsFree(t *testing.T) {
	f := create(t, "part")
	free, err := Free(filepath.Dir(f.Name()))
	if err != nil || free <= 0 {
		t.Fatalf("Free = %d, %v", free, err)
	}
	err = Reserve(f, 0, free+1<<40)
	var e *NoSpaceError
	if !IsNoSpace(err) || !errors.As(err, &e) || e.Need != free+1<<40 {
		t.Errorf("Reserve of a TiB more than is free = %v, want a NoSpaceError", err)
	}
	if got := allocated(f); got != 0 {
		t.Errorf("%d bytes stay reserved after a refusal", got)
	}
}

// The real thing: a file system of 1 MiB in a namespace of its own.
func TestReserveOnAFullFileSystem(t *testing.T) {
	if dir := os.Getenv("SHOAL_TEST_TMPFS"); dir != "" {
		reserveOnTmpfs(t, dir)
		return
	}
	dir := t.TempDir()
	script := `mount -t tmpfs -o size=1m shoal "$SHOAL_TEST_TMPFS" && exec "$0" -test.run '^TestReserveOnAFullFileSystem$' -test.v`
	cmd := exec.Command("unshare", "--mount", "--map-root-user", "sh", "-c", script, os.Args[0])
	cmd.Env = append(os.Environ(), "SHOAL_TEST_TMPFS="+dir)
	out, err := cmd.CombinedOutput()
	switch {
	case strings.Contains(string(out), "--- FAIL"):
		t.Errorf("in the namespace:\n%s", out)
	case err == nil && strings.Contains(string(out), "--- PASS"):
	case slices.Contains(strings.Split(os.Getenv("SHOAL_REQUIRE"), ","), "netns"):
		t.Errorf("no namespace: %v\n%s", err, out)
	default:
		t.Skipf("no namespace: %v\n%s", err, out)
	}
}

func reserveOnTmpfs(t *testing.T, dir string) {
	f, err := os.Create(filepath.Join(dir, "part"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Reserve(f, 0, 512<<10); err != nil {
		t.Fatalf("Reserve of half the disk: %v", err)
	}
	other, err := os.Create(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := Reserve(other, 0, 768<<10); !IsNoSpace(err) {
		t.Errorf("Reserve of more than is left = %v, want no space", err)
	}
	// fallocate itself, without the comparison before it.
	if err := reserve(other, 0, 768<<10); !IsNoSpace(err) {
		t.Errorf("fallocate of more than is left = %v, want no space", err)
	}
	if got := allocated(other); got != 0 {
		t.Errorf("%d bytes stay reserved after a failure", got)
	}
	// Somebody fills what is left: what was reserved can still be written.
	if _, err := other.Write(make([]byte, 1<<20)); !IsNoSpace(err) {
		t.Errorf("filling the disk = %v, want no space", err)
	}
	if _, err := f.Write(make([]byte, 512<<10)); err != nil {
		t.Errorf("writing what was reserved: %v", err)
	}
	// Resuming: the same range is reserved again although hardly anything is free now.
	if err := Reserve(f, 0, 512<<10); err != nil {
		t.Errorf("Reserve of what is already there: %v", err)
	}
}

func create(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func supportsFallocate(f *os.File) bool {
	return syscall.Fallocate(int(f.Fd()), 1 /* FALLOC_FL_KEEP_SIZE */, 0, 4096) == nil
}
