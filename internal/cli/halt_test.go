package cli

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// Halting a rollout ends its swarm: the origin, an edge and the machines that have the version give it no more, and who is about to fetch it does not get it.
func TestHaltEndsTheSwarm(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	f := newFleetTest(t, h, swarmtest.File(t, h.Path("1", "app"), 100_000))
	port := fmt.Sprint(h.FreePort())
	has := f.enrolled(f.base, "--group", "canary", "--limit-up", "100Ki", "--listen", "127.0.0.1:"+port)
	has.update = has.Start(has.args...)
	has.says("confirmed", "1", "")
	v2 := f.must("publish", swarmtest.File(t, h.Path("2", "app"), 6<<20), "--as", "app@2", "--repo", f.repo, "--no-patches").Expect("published").String("infohash")
	f.rollout("start", "app@2", "--channel", "stable", "--waves", "canary,100%", "--rollback")
	has.says("confirmed", "2", "1")
	edge, edgeURL := node(swarmtest.Local(t), f.base, "--app", "app", "--limit-up", "100Ki")
	edge.Expect("kept", func(e swarmtest.Event) bool { return e.String("name") == "app@2" })
	gives := func(base string) bool {
		t.Helper()
		req, err := http.NewRequest(http.MethodHead, base+"content/"+v2+"/app", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	if !gives(f.base) || !gives(edgeURL+"/") {
		t.Fatal("the version is not on offer")
	}

	// A machine is in the midst of fetching it, and would be for a while.
	f.must("limit", "--limit-up", "100Ki")
	late := f.enrolled(f.base, "--group", "canary", "--stall-timeout", "4s", "--once")
	late.update = late.Start(late.args...)
	late.update.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 0 })
	f.rollout("halt", "app:stable", "--reason", "loses data")
	waitUntil(t, "the origin gives it no more", func() bool { return !gives(f.base) })
	if code := late.update.Wait(); code == exitDone || late.said("staged", "2") {
		t.Errorf("exit code %d: the version came to a machine whose rollout was halted", code)
	}
	if e := late.Run(late.args...).Fail(exitHalted).Expect("error"); e.String("rule") != "halted" {
		t.Errorf("then %v", e)
	}
	waitUntil(t, "the edge gives it no more", func() bool { return !gives(edgeURL + "/") })
	// Nor does a machine that has it.
	out := h.Run("get", f.base+"app@2", "--root", filepath.Join(f.repo, "root.json"), "-o", h.Path("out"), "--peer", "127.0.0.1:"+port, "--site", "hall", "--stall-timeout", "1s").Fail(exitNoSource)
	if e := out.Expect("error"); !strings.Contains(e.String("message"), "peer 127.0.0.1:"+port+": it ended the connection") {
		t.Errorf("%v: want the machine that has it to give it no more", e)
	}
}
