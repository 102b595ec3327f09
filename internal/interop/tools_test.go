package interop

import (
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// makeTorrent makes a .torrent of a given format with libtorrent.
const makeTorrent = `
import sys, os, libtorrent as lt
content, out, announce, format = sys.argv[1:]
files = lt.file_storage()
lt.add_files(files, content)
flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[format]
t = lt.create_torrent(files, 65536, flags=flags)
t.add_tracker(announce)
lt.set_piece_hashes(t, os.path.dirname(content))
open(out, "wb").write(lt.bencode(t.generate()))
`

// Torrents that other tools make, of a tree as releases are, seeded and fetched by shoal.
func TestTorrentsOfOthers(t *testing.T) {
	swarmtest.Require(t, "interop", "mktorrent", "transmission-create")
	py := python(t)
	tools := map[string]func(h *swarmtest.Host, content, out, announce string){
		"mktorrent": func(h *swarmtest.Host, content, out, announce string) {
			h.Do("mktorrent", "-a", announce, "-l", "16", "-o", out, content)
		},
		"transmission-create": func(h *swarmtest.Host, content, out, announce string) {
			h.Do("transmission-create", "-t", announce, "-s", "64", "-o", out, content)
		},
	}
	for _, format := range formats {
		tools["libtorrent "+format] = func(h *swarmtest.Host, content, out, announce string) {
			h.Do(py, "-c", makeTorrent, content, out, announce, format)
		}
	}
	for name, make := range tools {
		t.Run(name, func(t *testing.T) {
			h := swarmtest.Local(t)
			content := swarmtest.Tree(t, h.Path("release"), size)
			http, _ := tracker(h)
			torrent := filepath.Join(h.Dir, "made.torrent")
			make(h, content, torrent, http)
			h.Run("verify", torrent, content).Succeed()
			seed(h, torrent, content)
			out := h.Path("out")
			done := h.Run("get", torrent, "-o", out).Succeed().Expect("done")
			if done.Int("from.peers") != done.Int("bytes") {
				t.Errorf("%v: want all from the seed", done)
			}
			// What these torrents do not say is not there: who may run a file, and
			// (transmission-create 3.00) files without content.
			lenient := swarmtest.AnyMode
			if name == "transmission-create" {
				lenient |= swarmtest.NoEmpty
			}
			swarmtest.Same(t, content, filepath.Join(out, "release"), lenient)
		})
	}
}
