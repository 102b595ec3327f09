//go:build !race

package delta

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
)

// What is looked in next is not beside what was looked in before: Go takes address space for the heap only where there is no room in what it has, and keeps it.
// In a process of its own, since other tests take memory as well; the race detector takes more than what is measured, and ten times as long.
func TestDiffKeepsToItsMemory(t *testing.T) {
	const memory, length = 96 << 20, 18 << 20
	if os.Getenv("SHOAL_TEST_MEMORY") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "SHOAL_TEST_MEMORY=1")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if out, err := cmd.Output(); err != nil {
			t.Fatalf("%v\n%s%s", err, out, &errs)
		}
		held, err := strconv.ParseInt(errs.String(), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("the heap had %d MiB", held>>20)
		if held > memory+16<<20 { // little is new, so little is beside it
			t.Errorf("the heap had %d MiB, want %d at most", held>>20, memory>>20+16)
		}
		return
	}
	dir := t.TempDir()
	a := pattern(length, 1)
	old := version(t, dir, map[string][]byte{"file": a})
	for i := 0; i < len(a); i += 64 << 10 {
		a[i]++
	}
	new := version(t, dir, map[string][]byte{"file": a})
	a = nil
	debug.FreeOSMemory()
	debug.SetMemoryLimit(memory + BesideMemory)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Diff(ctx, old, new, io.Discard, Options{Memory: memory, Workers: 2}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	os.Stderr.WriteString(strconv.FormatUint(after.HeapSys-before.HeapSys+before.HeapInuse, 10))
}
