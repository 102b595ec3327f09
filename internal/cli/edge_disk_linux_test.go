package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"shoal/internal/disk"
	"shoal/internal/swarmtest"
)

// watchFree looks all the time whether so much of a disk stays free, until done is called, which says how little it was.
func watchFree(t *testing.T, dir string) (done func() int64) {
	t.Helper()
	least, stop := int64(1<<62), make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			if n, err := disk.Free(dir); err == nil {
				least = min(least, n)
			}
		}
	})
	return func() int64 { close(stop); watching.Wait(); return least }
}

// Fetches that run at once do not each take the same free space: what stays free of the disk stays free.
func TestEdgeKeepsTheDiskFree(t *testing.T) {
	swarmtest.Require(t, "netns")
	t.Parallel()
	const size, floor = 3 << 20, 8 << 20
	o, _, origin, _ := newOrigin(t, size, "a", "b", "c", "d")
	o.Run("limit", "--limit-up", fmt.Sprint(size)).Succeed() // so that all of them are under way
	h := swarmtest.Local(t)
	state := smallDisk(t, h, "size=16m") // room for two
	least := watchFree(t, state)
	_, url := node(h, origin, "--quota", "1G", "--state-dir", state, "--keep-free", fmt.Sprint(floor))
	waitUntil(t, "two are here, and two have no room", func() bool {
		st := edgeState(t, url)
		return st.Int("contents_kept") == 2 && st.Int("no_room.contents") == 2 && st.Int("contents_fetching") == 0
	})
	if n := least(); n < floor {
		t.Errorf("%d bytes of the disk were free at times, want %d", n, floor)
	}
}

// A disk that somebody else fills up while something comes in: the edge goes on serving what it has, leads elsewhere for the rest, and fetches it when there is room.
func TestEdgeDiskFillsUpMidway(t *testing.T) {
	swarmtest.Require(t, "netns")
	t.Parallel()
	const size = 6 << 20
	o, dir, origin, _ := newOrigin(t, 2<<20, "small")
	small, err := os.ReadFile(o.Path("in", "small-1.0", "small.bin"))
	if err != nil {
		t.Fatal(err)
	}
	h := swarmtest.Local(t)
	state := smallDisk(t, h, "size=24m")
	edge, url := node(h, origin, "--quota", "1G", "--state-dir", state)
	waitUntil(t, "the small one is here", func() bool { return edgeState(t, url).Int("contents_kept") == 1 })
	o.Run("limit", "--limit-up", fmt.Sprint(size/10)).Succeed()
	large, err := os.ReadFile(publish(t, o, dir, "large", "1.0", size))
	if err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the large one is coming in", func() bool {
		return edgeState(t, url).Int("contents_fetching") == 1 && edgeState(t, url).Int("fetched.from_origin_bytes") > 3<<20
	})
	junk := filepath.Join(state, "junk")
	if err := os.WriteFile(junk, make([]byte, 24<<20), 0o644); err == nil {
		t.Fatal("the disk is not full")
	}
	waitUntil(t, "the fetch has failed", func() bool { return edgeState(t, url).Int("contents_fetching") == 0 })
	publish(t, o, dir, "news", "1.0", 1000) // of which nothing can be written down
	o.Run("limit", "--limit-up", "100M").Succeed()
	for range 3 {
		if resp, body := fetchURL(t, url+"/small:stable/small.bin"); resp.StatusCode != http.StatusOK || !bytes.Equal(body, small) {
			t.Errorf("with a full disk: %s, %d bytes", resp.Status, len(body))
		}
		if resp, body := fetchURL(t, url+"/large@1.0/large.bin"); resp.StatusCode != http.StatusOK || !bytes.Equal(body, large) {
			t.Errorf("what has no room: %s, %d bytes from %s", resp.Status, len(body), resp.Request.URL)
		}
	}
	if edge.Ended() {
		t.Fatal("the edge has ended")
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "all is here", func() bool { return edgeState(t, url).Int("contents_kept") == 3 })
	if _, body := fetchURL(t, url+"/large@1.0/large.bin"); !bytes.Equal(body, large) {
		t.Error("the large one is another")
	}
}
