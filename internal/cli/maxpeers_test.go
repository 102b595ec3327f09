package cli

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// A node with --max-peers 1 has no place for a second machine while the first one fetches.
func TestMaxPeersByItsFlag(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 3<<20)
	torrent := h.Path("release.torrent")
	h.Run("create", content, "-o", torrent).Succeed()
	listen := fmt.Sprintf("127.0.0.1:%d", h.FreePort())
	h.Start("seed", torrent, content, "--listen", listen, "--no-lan", "--max-peers", "1", "--limit-up", "100K").Expect("seeding")
	get := func(out string) []string {
		return []string{"get", torrent, "-o", h.Path(out), "--peer", listen, "--no-lan", "--stall-timeout", "1s"}
	}
	hasBytes := func(e swarmtest.Event) bool { return e.Int("done") > 0 }
	first := h.Start(get("first")...) // for half a minute
	first.Expect("progress", hasBytes)
	h.Run(get("second")...).Fail(exitStalled)
	first.Kill()
	h.Start(get("third")...).Expect("progress", hasBytes)
}

// Fewer connections are allowed while several machines fetch: those that are too many end, and one goes on.
func TestMaxPeersOfARunningNodeBecomesLess(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 3<<20)
	_, serving := origin(h, content, "--limit-up", "60K")
	peers := func() int64 {
		contents, _ := h.Run("status").Succeed().Expect("status")["contents"].([]any)
		if len(contents) != 1 {
			t.Fatalf("contents %v, want one", contents)
		}
		return swarmtest.Event(contents[0].(map[string]any)).Int("peers")
	}
	become := func(want int64) {
		t.Helper()
		for begin := time.Now(); peers() != want; time.Sleep(50 * time.Millisecond) {
			if time.Since(begin) > 20*time.Second {
				t.Fatalf("%d peers, want %d", peers(), want)
			}
		}
	}
	for i := range 3 {
		h.Start("get", serving.String("url"), "-o", h.Path("out", strconv.Itoa(i)), "--no-lan", "--state-dir", h.Path("machine", strconv.Itoa(i)))
	}
	become(3)
	h.Run("limit", "--max-peers", "1").Succeed()
	become(1)
	for range 10 { // those that have been sent away come again, in vain
		if n := peers(); n > 1 {
			t.Errorf("%d peers, want 1", n)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
