package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// A cluster is split while a release is replaced and another one withdrawn. Both halves go on serving, and when they see each other again, the half that was away
// learns what it has missed, from the other edges as well: its origin stays out of its sight.
func TestClusterIsSplitAndHeals(t *testing.T) {
	swarmtest.Require(t, "netns", "ip")
	net := swarmtest.NewNetwork(t)
	o := net.Host()
	dir := o.Path("repo")
	o.Run("init", dir, "--plain-keys").Succeed()
	const size = 1 << 20
	for _, app := range []string{"a", "b"} {
		publish(t, o, dir, app, "1.0", size)
	}
	serve := o.Start("serve", dir, "--listen", o.Addr.String()+":7070")
	serve.Expect("ready")
	origin := fmt.Sprintf("http://%s:7070", o.Addr)

	hosts := []*swarmtest.Host{net.Host(), net.Host(), net.Host()}
	for i, h := range hosts {
		args := []string{"edge", origin, "--listen", h.Addr.String() + ":7070", "--gossip", h.Addr.String() + ":7071", "--keep-free", "1", "--quota", "1G", "--trust-on-first-use",
			"--replicas", "3", "--name", fmt.Sprint("edge-", i), "--cluster-key", "a key of a test"}
		for _, other := range hosts {
			if other != h {
				args = append(args, "--join", other.Addr.String()+":7071")
			}
		}
		h.Start(args...).Expect("ready")
	}
	// contents is what an edge keeps, asked where it runs.
	contents := func(h *swarmtest.Host) string {
		st := h.Run("edge", "ls").Succeed().Expect("edge")
		var names []string
		for _, x := range st["contents"].([]any) {
			if e := swarmtest.Event(x.(map[string]any)); e.String("state") == "whole" {
				names = append(names, e.String("name"))
			}
		}
		return strings.Join(names, " ")
	}
	has := func(h *swarmtest.Host, with, without string) bool {
		got := contents(h)
		return strings.Contains(got, with) && (without == "" || !strings.Contains(got, without))
	}
	for _, h := range hosts {
		waitUntil(t, "all have both", func() bool { return has(h, "a@1.0", "") && has(h, "b@1.0", "") })
	}
	away := hosts[0]
	net.Cut(away)
	publish(t, o, dir, "a", "2.0", size+1)
	o.Run("withdraw", "a@1.0", "--repo", dir, "--reason", "broken").Succeed()
	for _, h := range hosts[1:] {
		waitUntil(t, "the others have the new one", func() bool { return has(h, "a@2.0", "a@1.0") })
	}
	if !has(away, "a@1.0", "a@2.0") || !has(away, "b@1.0", "") {
		t.Errorf("the edge that is cut off has %s", contents(away))
	}
	// Machines in both halves are served: each what its half knows to be the newest.
	for i, want := range map[int]string{0: "1.0", 1: "2.0", 2: "2.0"} {
		h := hosts[i]
		base := fmt.Sprintf("http://%s:7070/", h.Addr)
		for app, version := range map[string]string{"a": want, "b": "1.0"} {
			out := h.Path(app + "-" + version)
			done := h.Run("get", base+app+":stable", "-o", out, "--state-dir", h.Path("machine"), "--trust-on-first-use", "--no-lan").Succeed().Expect("done")
			file, err := os.ReadFile(filepath.Join(out, app+".bin"))
			in, _ := os.ReadFile(o.Path("in", app+"-"+version, app+".bin"))
			if err != nil || sum256(file) != sum256(in) || done.Int("from.origin") > 0 {
				t.Errorf("in edge %d's half %s@%s: %d bytes, %v, %v; want the %d that were published, from an edge", i, app, version, len(file), err, done["from"], len(in))
			}
		}
	}
	serve.Stop() // what it has missed, it can only learn from the others
	net.Mend(away)
	waitUntil(t, "the edge that was away has caught up", func() bool { return has(away, "a@2.0", "a@1.0") })
	for _, h := range hosts {
		if !has(h, "b@1.0", "a@1.0") {
			t.Errorf("after all an edge has %s", contents(h))
		}
	}
}

// A disk that is too small is found out before anything is written: what does not fit is the origin's to serve, what fits stays.
func TestEdgeOnAFullDisk(t *testing.T) {
	swarmtest.Require(t, "netns")
	o, _, origin, _ := newOrigin(t, 1<<20, "small")
	publish(t, o, o.Path("repo"), "large", "1.0", 12<<20)
	h := swarmtest.Local(t)
	state := smallDisk(t, h, "size=8m")
	_, url := node(h, origin, "--quota", "1G", "--pull-through", "--state-dir", state)
	get := func(app string, size int) {
		t.Helper()
		waitUntil(t, "the origin is known", func() bool {
			resp, body := fetchURL(t, url+"/"+app+":stable/"+app+".bin")
			return resp.StatusCode == http.StatusOK && len(body) == size
		})
	}
	get("small", 1<<20)
	get("large", 12<<20)
	waitUntil(t, "the small one is kept", func() bool { return edgeState(t, url).Int("contents_kept") == 1 })
	if n := edgeState(t, url).Int("requests.redirects"); n == 0 {
		t.Error("nobody was led to the origin")
	}
	left, err := os.ReadDir(filepath.Join(state, "content"))
	if err != nil || len(left) != 2 { // the content and its record
		list, _ := json.Marshal(left)
		t.Errorf("left on the disk: %s, %v", list, err)
	}
}
