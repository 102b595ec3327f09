package swarm

import (
	"errors"
	"testing"
	"time"

	"shoal/piece"
)

// Of a file of which some blocks were found elsewhere only the others are fetched, by web seeds and from peers, also by who starts anew.
func TestFilledBlocksAreNotFetched(t *testing.T) {
	for _, format := range []piece.Format{piece.Hybrid, piece.V2} {
		for _, web := range []bool{true, false} {
			tor, path, b := makeContent(t, 150_000, piece.BuildConfig{Format: format, PieceLength: 32 << 10})
			dir := t.TempDir()
			m := newMachine(t, Config{})
			p, err := m.Parts(dir, tor.Info)
			if err != nil {
				t.Fatal(err)
			}
			leaves := piece.AppendLeaves(nil, b)
			wrong := append([]piece.Hash32{{1}}, leaves[1:]...)
			if err := p.Fill(t.Context(), 0, wrong, nil); !errors.Is(err, piece.ErrCorrupt) {
				t.Errorf("other leaves than the file's: %v, want ErrCorrupt", err)
			}
			err = p.Fill(t.Context(), 0, leaves, func(block int, buf []byte) bool {
				copy(buf, b[block*piece.BlockSize:])
				if block == 2 { // the old file has changed meanwhile
					buf[0] ^= 1
				}
				return block != 1 && block != 6 && block != 7 // half of the first piece, and all of the fourth, are not here
			})
			if err := errors.Join(err, p.Close()); err != nil {
				t.Fatal(err)
			}
			spec := Spec{Torrent: tor, Dir: dir}
			if web {
				url, _ := webServer(t, tor, path, nil)
				spec.WebSeeds = []string{url}
			} else {
				seed := newMachine(t, Config{})
				add(t, seed, Spec{Torrent: tor, Content: path})
				spec.Peers = []string{seed.addr}
			}
			tr := add(t, m, spec)
			wait(t, tr, 30*time.Second)
			s := tr.Stats()
			tr.Close()
			if n, lacking := fetched(s), int64(4*piece.BlockSize); n != lacking || s.Wasted != 0 || s.From[Reuse] != tor.Length-lacking { // blocks 1, 2, 6, 7
				t.Errorf("%v, web seed %v: %d bytes were fetched, %d wasted, %d reused; want %d, 0, %d", format, web, n, s.Wasted, s.From[Reuse], lacking, tor.Length-lacking)
			}
			sameFile(t, dir+"/"+tor.Name, b)
		}
	}
}
