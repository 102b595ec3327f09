package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// More than fits: the quota holds, what is asked for stays, and a pin stays in any case, whenever the edge is killed.
func TestEdgeKeepsItsQuota(t *testing.T) {
	t.Parallel()
	const size = 2 << 20
	_, _, origin, _ := newOrigin(t, size, "a", "b", "c", "d", "e")
	h := swarmtest.Local(t)
	edge, url := node(h, origin, "--pull-through", "--quota", "9M")
	get := func(app string) {
		resp, body := fetchURL(t, url+"/"+app+":stable/"+app+".bin")
		if resp.StatusCode != http.StatusOK || len(body) != size {
			t.Errorf("%s: %s, %d bytes", app, resp.Status, len(body))
		}
	}
	var holds sync.WaitGroup
	stop := make(chan struct{})
	holds.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if n := diskBytes(h.Path("state")); n > 9_000_000 {
				t.Errorf("%d bytes on disk", n)
			}
		}
	})
	for range 3 {
		get("a")
	}
	pinned := h.Run("edge", "pin", "b:stable", "--for", "1h").Succeed().Expect("pin")
	until, err := time.Parse(time.RFC3339, pinned.String("until"))
	if text := fmt.Sprint(pinned["contents"]); err != nil || time.Until(until) < 50*time.Minute || text != "[b@1.0]" || pinned.Int("bytes") < size || pinned.Int("bytes") > size*101/100 {
		t.Errorf("pinned %v until %v, %v", pinned, until, err)
	}
	for _, app := range []string{"b", "c", "d", "e", "a"} {
		get(app)
	}
	for i, app := range []string{"c", "d", "e"} { // kill -9 while something comes or goes
		for range 2 {
			if resp, err := http.Get(url + "/" + app + "@1.0/" + app + ".bin"); err == nil {
				io.CopyN(io.Discard, resp.Body, int64(i*size/3)+1)
				resp.Body.Close()
			}
		}
		edge.Kill()
		edge, url = node(h, origin, "--pull-through", "--quota", "9M")
		get(app)
	}
	for range 3 {
		get("a")
	}
	waitUntil(t, "nothing is under way", func() bool { return edgeState(t, url).Int("contents_fetching") == 0 })
	close(stop)
	holds.Wait()
	list := h.Run("edge", "ls").Succeed().Expect("edge")
	text, _ := json.Marshal(list["contents"])
	for _, want := range []string{"a@1.0", "b@1.0"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("kept %s: %s is missing", text, want)
		}
	}
	h.Run("edge", "pin", "none:stable").Fail(exitNoSource)
	for _, app := range []string{"a", "c"} { // three of these have room
		h.Run("edge", "pin", app+"@1.0").Succeed()
	}
	h.Run("edge", "pin", "b@1.0").Succeed() // it is pinned by another name
	p := h.Run("edge", "pin", "d@1.0").Fail(exitLocal)
	if e := p.Expect("error"); e.String("rule") != "no-room" || !strings.Contains(e.String("message"), "2.0 MiB") || e.String("hint") == "" {
		t.Errorf("%v: want to be told how much it is and what to do", e)
	}
	h.Run("edge", "unpin", "d@1.0").Fail(exitNoSource)
	h.Run("edge", "unpin", "b:stable").Succeed()
	if e := h.Run("edge", "drain").Fail(exitHeld).Expect("error"); e.String("rule") != "alone" {
		t.Errorf("%v: want to be told that nobody can take over", e)
	}
}

// diskBytes is how much of the disk is taken below a directory.
func diskBytes(dir string) (n int64) {
	filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				n += st.Blocks * 512
			}
		}
		return nil
	})
	return n
}
