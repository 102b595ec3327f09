package swarm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shoal/internal/disk"
	"shoal/piece"
)

// smallDisk mounts a file system in memory of so many bytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if strings.Contains(os.Getenv("SHOAL_REQUIRE"), "netns") {
			t.Fatal(err)
		}
		t.Skip("cannot mount: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all but about leave bytes of a disk; the function returned gives it back.
func fill(t *testing.T, dir string, leave int64) func() {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 4096); ; {
		if free, err := disk.Free(dir); err != nil || free <= leave {
			break
		}
		if _, err := f.Write(b); err != nil {
			break
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiskFull(t *testing.T) {
	x := tree{"big": random(6<<20, 1), "bin/tool*": random(300_000, 2)}
	for _, f := range formats {
		t.Run(f.String(), func(t *testing.T) {
			tor, path := makeTree(t, x, piece.BuildConfig{Format: f, PieceLength: 64 << 10})
			o := seed(t, Spec{Torrent: tor, Content: path})
			full := func(t *testing.T, tr *Transfer) {
				t.Helper()
				failsWith(t, tr, syscall.ENOSPC)
				if err := tr.Err(); !disk.IsNoSpace(err) || !strings.Contains(err.Error(), "no space") && !strings.Contains(err.Error(), "bytes free") {
					t.Errorf("it is not clear that the disk is full: %v", err)
				}
				tr.Close()
			}
			t.Run("too small from the start", func(t *testing.T) {
				dir := smallDisk(t, "4m")
				tr := add(t, newMachine(t, Config{}), Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
				full(t, tr)
				var e *NoRoomError
				if !errors.As(tr.Err(), &e) || e.Need != tor.Length || fetched(tr.Stats()) > 0 {
					t.Errorf("%v; %+v", tr.Err(), tr.Stats())
				}
				leftovers(t, dir)
			})
			t.Run("full in the middle, twice", func(t *testing.T) {
				dir := smallDisk(t, "8m")
				var have int64
				for range 2 {
					m := newMachine(t, Config{LimitDown: 4 << 20})
					tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
					goal := have + 1<<20
					until(t, "some of it", func() bool { return tr.Stats().Have > goal })
					free := fill(t, dir, 0)
					full(t, tr)
					if s := tr.Stats(); s.From[Reuse] < have {
						t.Errorf("reused %d, had %d", s.From[Reuse], have)
					}
					have = tr.Stats().Have
					m.stop()

					// Nor can it begin again, and loses nothing by trying.
					m = newMachine(t, Config{})
					full(t, add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}}))
					m.stop()
					free()
				}
				s := again(t, Config{}, tor, dir, x, o.addr)
				if s.From[Reuse] < have || s.From[Reuse]+fetched(s) != tor.Length {
					t.Errorf("reused %d and fetched %d, had %d of %d", s.From[Reuse], fetched(s), have, tor.Length)
				}
			})
			t.Run("just enough to go on", func(t *testing.T) {
				dir := smallDisk(t, "9m")
				half(t, tor, dir, o.addr)
				// What is not verified takes room already: it must not be asked for twice.
				parts, err := filepath.Glob(filepath.Join(dir, ".shoal-*", "parts", "*"))
				if err != nil || len(parts) == 0 {
					t.Fatal(parts, err)
				}
				var taken int64
				for _, p := range parts {
					f, err := os.Open(p)
					if err != nil {
						t.Fatal(err)
					}
					taken += disk.Allocated(f)
					f.Close()
				}
				free := fill(t, dir, tor.Length-taken+256<<10)
				m := newMachine(t, Config{})
				tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
				wait(t, tr, 20*time.Second)
				tr.Close()
				free()
				x.equal(t, readTree(t, filepath.Join(dir, "tree")))
			})
		})
	}
}

// TestReadOnlyDirectory fetches as a user who may not write there.
func TestReadOnlyDirectory(t *testing.T) {
	x := tree{"big": random(1<<20, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{})
	o := seed(t, Spec{Torrent: tor, Content: path})
	dir := smallDisk(t, "8m")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	tr := add(t, newMachine(t, Config{}), Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
	failsWith(t, tr, syscall.EROFS)
	if n := fetched(tr.Stats()); n > 0 {
		t.Errorf("fetched %d bytes", n)
	}
}
