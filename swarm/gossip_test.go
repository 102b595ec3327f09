package swarm

import (
	"bytes"
	"context"
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// Peers hear each other's note, at first and when it changes.
func TestGossip(t *testing.T) {
	tor, content, _ := makeContent(t, 100_000, piece.BuildConfig{})
	a, b := newMachine(t, Config{}), newMachine(t, Config{})
	heard, back := make(chan string, 10), make(chan string, 10)
	seed, err := a.Add(Spec{Torrent: tor, Content: content, Note: []byte("one"), Heard: func(note []byte) { back <- string(note) }})
	if err != nil {
		t.Fatal(err)
	}
	leech, err := b.Add(Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{a.addr}, Note: []byte("two"), Heard: func(note []byte) { heard <- string(note) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	want := func(c chan string, note string) {
		t.Helper()
		select {
		case got := <-c:
			if got != note {
				t.Fatalf("heard %q, want %q", got, note)
			}
		case <-ctx.Done():
			t.Fatalf("did not hear %q", note)
		}
	}
	want(heard, "one")
	want(back, "two")
	seed.SetNote([]byte("three"))
	want(heard, "three")
	leech.SetNote(bytes.Repeat([]byte("x"), wire.MaxNote+1)) // too long: nothing is said
	leech.SetNote([]byte("four"))
	want(back, "four")
}
