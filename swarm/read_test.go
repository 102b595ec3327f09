package swarm

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"shoal/piece"
)

// What somebody waits for comes before the rest, from a peer and from a web seed.
func TestWhatIsReadIsFetchedFirst(t *testing.T) {
	tor, path, want := makeContent(t, 4<<20, piece.BuildConfig{PieceLength: 64 << 10})
	for _, from := range []string{"peer", "web seed"} {
		t.Run(from, func(t *testing.T) {
			spec := Spec{Torrent: tor, Dir: t.TempDir()}
			if from == "peer" {
				o := newMachine(t, Config{Role: RoleOrigin})
				add(t, o, Spec{Torrent: tor, Content: path})
				spec.Peers = []string{o.addr}
			} else {
				url, _ := webServer(t, tor, path, nil)
				spec.WebSeeds = []string{url}
			}
			m := newMachine(t, Config{LimitDown: 1 << 20})
			tr := add(t, m, spec)
			for s := tr.Stats(); s.Have == 0; s = tr.Stats() { // all of it may have been asked for by now, in order
				select {
				case <-time.After(time.Millisecond):
				case <-t.Context().Done():
					t.Fatal(t.Context().Err())
				}
			}
			got := make([]byte, 100_000)
			off := int64(len(want) - len(got))
			if err := tr.ReadAt(t.Context(), got, off); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want[off:]) {
				t.Error("the bytes are others")
			}
			if s := tr.Stats(); s.Have > s.Wanted*3/4 {
				t.Errorf("%d of %d bytes had come before the last ones", s.Have, s.Wanted)
			}
			m.SetLimits(Limits{})
			wait(t, tr, 10*time.Second)
			if err := tr.ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got, want[:len(got)]) {
				t.Errorf("reading at the end: %v", err)
			}
		})
	}
}

// Readers end with their context, with the transfer, and with what they wait for, also while files are being put in place.
func TestReadersEnd(t *testing.T) {
	tor, path, want := makeContent(t, 2<<20, piece.BuildConfig{PieceLength: 64 << 10})
	o := newMachine(t, Config{})
	m := newMachine(t, Config{})
	tr := add(t, m, Spec{Torrent: tor, Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := tr.ReadAt(ctx, make([]byte, 1), 0); err != context.Canceled {
			t.Errorf("a reader whose context has ended: %v", err)
		}
	})
	for i := range 50 {
		all.Go(func() {
			got := make([]byte, len(want)/50)
			if err := tr.ReadAt(t.Context(), got, int64(i*len(got))); err != nil || !bytes.Equal(got, want[i*len(got):][:len(got)]) {
				t.Errorf("reader %d: %v", i, err)
			}
		})
	}
	cancel()
	add(t, o, Spec{Torrent: tor, Content: path})
	tr.AddPeers(o.addr)
	all.Wait()

	none := add(t, m, Spec{V1: piece.Hash20{1}, HasV1: true, Dir: t.TempDir()})
	all.Go(func() {
		if err := none.ReadAt(t.Context(), make([]byte, 1), 0); err == nil {
			t.Error("a reader of a closed transfer got something")
		}
	})
	none.Close()
	all.Wait()
}
