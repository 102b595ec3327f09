package seeder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shoal/internal/disk"
	"shoal/swarm"
)

// TestLookGoesOn holds that each file of every content is looked at in turn, a bounded number at a time.
func TestLookGoesOn(t *testing.T) {
	s := New(Config{Node: new(swarm.Node)})
	asked := make(map[string]int)
	for _, files := range []int{1, 600, 0, 3} {
		s.contents = append(s.contents, &Content{Transfer: new(swarm.Transfer), looks: files, look: func(i int) error {
			asked[fmt.Sprint(files, "/", i)]++
			return nil
		}})
	}
	now := time.Now()
	for range 4 {
		now = now.Add(lookEvery)
		before := len(asked)
		s.Look(now)
		s.Look(now.Add(lookEvery / 2))
		if n := len(asked) - before; n > lookFiles {
			t.Errorf("%d files were looked at in one call", n)
		}
	}
	if len(asked) != 604 {
		t.Errorf("%d files were looked at, want 604", len(asked))
	}
}

func TestLookAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	want := disk.StampOfInfo(fi)
	if err := lookAt(path, false, want); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
	if err := os.WriteFile(path, []byte("xx"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := lookAt(path, false, want); !errors.Is(err, swarm.ErrChanged) {
		t.Errorf("longer: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := lookAt(path, false, want); !errors.Is(err, swarm.ErrChanged) {
		t.Errorf("removed: %v", err)
	}
}
