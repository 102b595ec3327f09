package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// edgeContent is how a release stands on an edge. The zero value: it is not there.
type edgeContent struct {
	Name string
	Have int64 `json:"have_bytes"`
	Up   int64 `json:"up_bytes_per_second"`
}

func onEdge(t *testing.T, edge, release string) edgeContent {
	t.Helper()
	resp, err := http.Get(edge + "/api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var st struct {
		Edge struct{ Contents []edgeContent }
	}
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	for _, c := range st.Edge.Contents {
		if c.Name == release {
			return c
		}
	}
	return edgeContent{}
}

// A release has to go while libtorrent fetches it from the edge: the edge leaves that swarm, and what was not given is fetched from the origin. libtorrent's other
// connection to the same port, for a release that stays, does not notice.
func TestEdgeLeavesLibtorrentCleanly(t *testing.T) {
	python(t)
	t.Parallel()
	const size = 3 << 20
	o := swarmtest.Local(t)
	repo := o.Path("repo")
	o.Run("init", repo, "--plain-keys").Succeed()
	files, hashes := map[string]string{}, map[string]string{}
	for _, app := range []string{"goes", "stays", "comes"} {
		files[app] = swarmtest.File(t, o.Path(app+".bin"), size)
		hashes[app] = o.Run("publish", files[app], "--as", app+"@1", "--channel", "stable", "--platform", "any", "--repo", repo).Succeed().Expect("published").String("infohash")
	}
	serve := o.Start("serve", repo, "--listen", "127.0.0.1:0")
	origin := fmt.Sprintf("http://127.0.0.1:%d", serve.Expect("ready").Int("port"))
	h := swarmtest.Local(t)
	edge := strings.TrimSuffix(h.Start("edge", origin, "--listen", "127.0.0.1:0", "--keep-free", "1", "--trust-on-first-use", "--pull-through", "--quota", "9M").Expect("ready").String("url"), "/")
	for app, times := range map[string]int{"goes": 1, "stays": 5} {
		for range times {
			eventually(t, func() error {
				resp, err := http.Get(edge + "/" + app + ":stable/" + app + ".bin")
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
					return fmt.Errorf("%d bytes of %s, %w", n, app, err)
				}
				return nil
			})
		}
	}
	o.Run("limit", "--limit-up", "100K").Succeed()
	h.Run("limit", "--limit-up", "500K").Succeed()
	leech := func(app, trackers string) *swarmtest.Process {
		return libtorrent(t, h, client{Source: "magnet:?xt=urn:btmh:1220" + hashes[app] + trackers, Dir: h.Path(app), Peers: []string{hostPort(edge)},
			Settings: map[string]any{"enable_outgoing_utp": false}})
	}
	goes, stays := leech("goes", "&tr="+origin+"/announce"), leech("stays", "")
	await := func(what string, is func() bool) {
		eventually(t, func() error {
			if !is() {
				return errors.New("not in a minute: " + what)
			}
			return nil
		})
	}
	await("both are in use", func() bool { return onEdge(t, edge, "goes@1").Up > 0 && onEdge(t, edge, "stays@1").Up > 0 })
	h.Run("edge", "pin", "comes:stable").Succeed()
	await("one has gone", func() bool { return onEdge(t, edge, "goes@1").Have == 0 })
	for _, x := range []*swarmtest.Host{o, h} {
		x.Run("limit", "--limit-up", "0").Succeed()
	}
	for app, x := range map[string]struct {
		leech *swarmtest.Process
		ends  string // how its connection to the edge does, as libtorrent calls it
	}{"goes": {goes, "End of file"}, "stays": {stays, "torrent finished"}} {
		x.leech.Succeed()
		swarmtest.Same(t, files[app], filepath.Join(h.Path(app), app+".bin"))
		n := 0
		for line := range strings.Lines(x.leech.Stderr()) {
			if strings.Contains(line, hostPort(edge)) && strings.Contains(line, "disconnecting") {
				n++
				if !strings.Contains(line, x.ends) {
					t.Errorf("of the one that %s: %s, want %q", app, line, x.ends)
				}
			}
		}
		if app == "stays" && n != 1 {
			t.Errorf("what stays was fetched over %d connections, want 1", n)
		}
	}
}
