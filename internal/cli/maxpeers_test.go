package cli

import (
	"fmt"
	"testing"

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
