package cli

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// kill -9 of get at random moments, again and again: what was verified is never fetched again, what
// was not is never taken for good. CI asks for fifty rounds (SHOAL_REQUIRE=interop).
func TestKilledGetGoesOn(t *testing.T) {
	for name, args := range map[string][]string{"from peers": nil, "from a web seed": {"--peers", "off"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killAgainAndAgain(t, args)
		})
	}
}

func killAgainAndAgain(t *testing.T, args []string) {
	rounds, size := 5, 2<<20
	if swarmtest.Required("interop") {
		rounds, size = 50, 24<<20
	}
	const longest = 500 * time.Millisecond
	h := swarmtest.Local(t)
	content := swarmtest.Tree(t, h.Path("release"), size)
	// So slow that about three quarters are there at the end of all rounds.
	_, serving := origin(h, content, "--limit-up", fmt.Sprint(3*size/rounds))
	out := h.Path("out")
	get := append([]string{"get", serving.String("url"), "-o", out}, args...)
	told := int64(0) // what a process has said was verified
	for i := range rounds {
		p := h.Start(get...)
		p.Expect("start")
		if i == 0 { // on a busy computer no other may come so far within its time
			p.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 0 })
		}
		time.Sleep(rand.N(longest)) // the point of this test is that any moment will do
		p.Kill()
		for _, e := range p.Events("progress") {
			told = max(told, e.Int("done"))
		}
	}
	done := h.Run(get...).Succeed().Expect("done")
	swarmtest.Same(t, content, filepath.Join(out, "release"))
	if left := leftovers(t, out); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	total := done.Int("bytes")
	if sum := done.Int("from.reuse") + done.Int("from.origin"); sum != total || done.Int("from.reuse") == 0 {
		t.Errorf("%v: want some reused, and %d bytes in all", done, total)
	}
	if kept := done.Int("from.reuse"); kept < told {
		t.Errorf("%d bytes are told to be verified, and %d of them were there at the end of all kills", told, kept)
	}
	// What the origin has sent is what came, and what was lost when a process died.
	node := strings.TrimSuffix(serving.String("url"), "/release")
	contents, _ := h.Run("status", node).Succeed().Expect("status")["contents"].([]any)
	status := swarmtest.Event(contents[0].(map[string]any))
	sent := status.Int("sent_peers_bytes") + status.Int("sent_http_bytes")
	// That is the pieces that it leaves unfinished, of which there are four at once, and what it has asked for and not read, which the origin
	// counts: on a computer so busy that it does not come to reading, a window of 512 KiB, or what a request over HTTP brings meanwhile.
	unfinished := 8*total/serving.Int("pieces") + 512<<10
	if most := total + int64(rounds)*unfinished; sent < total || sent > most {
		t.Errorf("the origin sent %d bytes, want %d and at most %d for %d kills", sent, total, most-total, rounds)
	}
	t.Logf("%d kills: %d bytes more than the content's %d left the origin", rounds, sent-total, total)
}
