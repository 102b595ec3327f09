package updater

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"shoal/internal/disk"
)

// narrow is a Source whose disk has no room while another version is staged.
type narrow struct {
	*shelf
	left []string // what each fetch was told of
}

func (n *narrow) Fetch(ctx context.Context, o *Offer, p Places) (*Fetched, error) {
	n.left = append(n.left, p.Left)
	if p.Left != "" && disk.Exists(p.Left) {
		return nil, &os.PathError{Op: "write", Path: p.Dir, Err: syscall.ENOSPC}
	}
	return n.shelf.Fetch(ctx, o, p)
}

// crowded is a Source whose disk has no room beside two versions.
type crowded struct {
	*shelf
	versions string
	fetches  int
}

func (c *crowded) Fetch(ctx context.Context, o *Offer, p Places) (*Fetched, error) {
	c.fetches++
	if list, err := os.ReadDir(c.versions); err != nil || len(list) > 1 {
		return nil, &os.PathError{Op: "write", Path: p.Dir, Err: syscall.ENOSPC}
	}
	return c.shelf.Fetch(ctx, o, p)
}

// An old version that goes when the new one is in place goes first where there is no room for both.
func TestOldVersionMakesRoom(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	m.install("2")
	var said []string
	m.cfg.Notice = func(text string) { said = append(said, text) }
	c := &crowded{shelf: m.shelf, versions: mustLayout(t, m).versions()}
	m.cfg.Source = c
	m.install("3")
	if list, err := os.ReadDir(c.versions); err != nil || len(list) != 2 || list[0].Name() != "2" || c.fetches != 2 {
		t.Errorf("after %d fetches there are %v (%v), want 2 and 3 after two", c.fetches, list, err)
	}
	if len(said) != 1 || said[0] != "1 of app removed, to make room for 3" {
		t.Errorf("said %q", said)
	}
}

// A repair that has no room removes nothing of what it is for, and nothing else that is kept.
func TestRepairWithoutRoomRemovesNothing(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.cfg.Keep = 3
	for _, v := range []string{"1", "2", "3"} {
		m.install(v)
	}
	m.mine("1")
	l := mustLayout(t, m)
	m.cfg.Source, m.cfg.Keep = &crowded{shelf: m.shelf, versions: l.versions()}, 0 // as verify --repair does it
	u, err := New(m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Repair(t.Context(), "1"); !disk.IsNoSpace(err) {
		t.Errorf("the repair ends with %v, want no space", err)
	}
	if list, err := os.ReadDir(l.versions()); err != nil || len(list) != 3 {
		t.Errorf("there are %v (%v), want three versions", list, err)
	}
	if j := m.journal(); j.Keep != 3 {
		t.Errorf("%d versions are to be kept, want 3 as was said last", j.Keep)
	}
}

// Of what was staged of other versions that which was begun last is there to be used, unless its room is needed, and gone when it was.
func TestWhatIsLeftInTheStage(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	l := mustLayout(t, m)
	for i, v := range []string{"3", "1"} {
		dir := filepath.Join(l.stage(v), ".shoal-x", "parts")
		at := time.Now().Add(time.Duration(i) * time.Minute)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(l.stage(v), at, at); err != nil {
			t.Fatal(err)
		}
	}
	n := &narrow{shelf: m.shelf}
	m.cfg.Source = n
	m.install("2")
	if len(n.left) != 2 || n.left[0] != l.stage("1") || n.left[1] != "" {
		t.Errorf("left were %q, want the stage of 1, and then nothing", n.left)
	}
	if list, err := os.ReadDir(filepath.Dir(l.stage("x"))); err != nil || len(list) > 0 {
		t.Errorf("in the stage: %v (%v)", list, err)
	}
}
