package swarm

import (
	"bytes"
	"testing"

	"shoal/piece"
	"shoal/swarm/wire"
)

// A peer of our kind that has nothing for us any more is told so only when that lasts, others at once, and everybody when we have all.
func TestInterestIsTakenBackLate(t *testing.T) {
	tor, _, want := makeContent(t, 2*64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	b := newBench(tor, want)
	defer b.stop()
	shoal, other, seed := b.peer(1), b.peer(2), b.peer(3)
	shoal.shoal, seed.shoal = true, true
	peers := []*conn{shoal, other, seed}

	expect := func(what string, words ...string) {
		t.Helper()
		for i, c := range peers {
			got := ""
			r := wire.NewReader(bytes.NewReader(func() []byte { control, _ := c.out.take(0); return control }()))
			for m := (wire.Message{}); r.Next(&m) == nil; {
				switch m.Type {
				case wire.Interested:
					got += "interested "
				case wire.NotInterested:
					got += "not "
				}
			}
			if got != words[i] {
				t.Errorf("%s: peer %d is told %q, want %q", what, i, got, words[i])
			}
		}
	}
	have := func(c *conn, pieces ...uint32) {
		for _, p := range pieces {
			if err := b.handle(c, &wire.Message{Type: wire.Have, Index: p}); err != nil {
				t.Fatal(err)
			}
		}
	}
	fetch := func(p int) {
		b.send(seed, b.begin(p), 0, 4)
		b.deliver(seed.order[len(seed.order)-1], true)
		b.pump()
		b.tick(b.now())
	}

	have(shoal, 0)
	have(other, 0)
	have(seed, 0, 1)
	expect("they have pieces", "interested ", "interested ", "interested ")
	fetch(0)
	expect("one is here", "", "not ", "")
	shoal.boredAt = shoal.boredAt.Add(-boredTime)
	b.tick(b.now())
	expect("it was for long", "not ", "", "")
	have(shoal, 1)
	have(other, 1)
	expect("they have the other one", "interested ", "interested ", "")
	fetch(1)
	expect("everything is here", "not ", "not ", "not ")
}
