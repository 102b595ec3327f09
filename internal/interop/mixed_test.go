package interop

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// A swarm of all sorts: an origin whose upload is limited, two shoals, aria2 and libtorrent. All finish.
func TestMixedSwarm(t *testing.T) {
	swarmtest.Require(t, "interop", "aria2c", "curl")
	python(t)
	h := swarmtest.Local(t)
	s := serve(h, swarmtest.File(t, h.Path("release.bin"), 2*size), "--limit-up", "4Mi")
	// Without web seeds, so that they need each other.
	torrent := create(t, h, s.content, "hybrid", "--tracker", "http://"+s.peer+"/announce")
	dirs := []string{h.Path("shoal1"), h.Path("shoal2"), h.Path("aria2"), h.Path("libtorrent")}
	timed(t, "all", func() {
		var shoals []*swarmtest.Process
		for _, dir := range dirs[:2] {
			shoals = append(shoals, h.Start("get", torrent, "-o", dir, "--seed-for", "1h"))
		}
		aria2 := aria2(h, torrent, dirs[2], "--seed-time=0")
		lt := libtorrent(t, h, client{Source: torrent, Dir: dirs[3], Stay: true})
		for _, p := range shoals {
			e := p.Expect("done")
			t.Logf("shoal: %.2f s, from %v", e["seconds"], e["from"])
		}
		t.Log("libtorrent:", strings.Join(lt.ExpectLine("^finished (.*)"), " "))
		aria2.Succeed()
	})
	for _, dir := range dirs {
		name := filepath.Join(dir, "release.bin")
		eventually(t, func() error { // libtorrent may still be writing its last blocks
			if problem := swarmtest.Compare(s.content, name); problem != "" {
				return fmt.Errorf("%s: %s", name, problem)
			}
			return nil
		})
	}
}
