package swarm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"shoal/piece"
)

// TestMemory fetches much in large pieces in a process of its own, and looks at how large that
// process became. (10 GiB in pieces of 8 MiB: 19 MiB; see the commit.)
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 600 MiB")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "sparse.bin")
	if err := os.WriteFile(path, []byte(random(1<<20, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 160<<20); err != nil {
		t.Fatal(err)
	}
	for _, f := range []piece.Format{piece.Hybrid, piece.V1} {
		tor, _, err := piece.Build(context.Background(), path, piece.BuildConfig{Format: f, PieceLength: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		file := writeTorrent(t, tor)
		peer := newMachine(t, Config{})
		add(t, peer, Spec{Torrent: tor, Content: path})
		url, _ := webServer(t, tor, path, nil)
		for name, c := range map[string]child{
			"peers":     {Peers: []string{peer.addr}},
			"web seeds": {Seeds: []string{url}},
		} {
			t.Run(fmt.Sprintf("%v, %s", f, name), func(t *testing.T) {
				c.Torrent, c.Dir = file, t.TempDir()
				cmd, out := command(t, c)
				if err := cmd.Run(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				var kib int
				for line := range bytes.Lines(out.Bytes()) {
					fmt.Sscanf(string(line), "memory %d", &kib)
				}
				t.Logf("%d KiB", kib)
				if kib == 0 || kib > 64<<10 {
					t.Errorf("the process took %d KiB, want at most 64 MiB", kib)
				}
			})
		}
	}
}
