package swarm

import (
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// Where there is a key, who has it is of the site, and nobody else.
func TestSiteKey(t *testing.T) {
	t.Parallel()
	tor, path, _ := makeContent(t, 256<<10, piece.BuildConfig{PieceLength: 16 << 10})
	for name, c := range map[string]struct {
		give, take Config
		want       Class
	}{
		"the same":           {Config{Site: "a", SiteKey: "correct horse"}, Config{Site: "a", SiteKey: "correct horse"}, LAN},
		"no name":            {Config{SiteKey: "correct horse"}, Config{SiteKey: "correct horse"}, LAN},
		"another key":        {Config{Site: "a", SiteKey: "correct horse"}, Config{Site: "a", SiteKey: "battery staple"}, Peers},
		"another site":       {Config{Site: "b", SiteKey: "correct horse"}, Config{Site: "a", SiteKey: "correct horse"}, Peers},
		"no key there":       {Config{Site: "a"}, Config{Site: "a", SiteKey: "correct horse"}, Peers},
		"no key here":        {Config{Site: "a", SiteKey: "correct horse"}, Config{Site: "a"}, LAN},
		"no key, no name":    {Config{}, Config{}, Peers},
		"no key, but near":   {Config{Site: "a"}, Config{Site: "a"}, LAN},
		"an edge is an edge": {Config{Site: "a", SiteKey: "correct horse", Role: RoleEdge}, Config{Site: "a", SiteKey: "correct horse"}, Edges},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.give.LimitUp = 100 << 10 // the proof is in before most of it comes
			s, m := newMachine(t, c.give), newMachine(t, c.take)
			add(t, s, Spec{Torrent: tor, Content: path})
			tr := add(t, m, Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{s.addr}})
			wait(t, tr, 20*time.Second)
			if st := tr.Stats(); st.From[c.want] < st.Wanted*3/4 {
				t.Errorf("from %v, want %v", st.From, c.want)
			}
		})
	}
}

// A proof that somebody has heard is of no use to him: with another connection, to another node, or back to us.
func TestProofsAreNotReplayed(t *testing.T) {
	tor, _, want := makeContent(t, 20*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	node := func(id byte) *bench {
		b := newBench(tor, want)
		t.Cleanup(b.stop)
		cfg := &b.t.node.cfg
		cfg.Site, cfg.SiteKey, cfg.PeerID = "a", "correct horse", [20]byte{id}
		return b
	}
	// meet has x see a peer of that id that gives nonce as its own.
	meet := func(x *bench, id byte, nonce [16]byte) *conn {
		c := x.peer(id)
		x.met(c, wire.ExtHandshake{M: map[string]int{wire.NameShoal: 2}, Shoal: &wire.Shoal{Site: "a", Nonce: string(nonce[:])}})
		if c.key.nonce == ([16]byte{}) || x.siteNonce(c) != string(c.key.nonce[:]) {
			t.Fatal("it has no nonce, or another each time")
		}
		return c
	}
	proof := func(prover, verifier byte, nonce, challenge [16]byte) []byte {
		return wire.AppendProof(nil, 2, wire.NewProof([]byte("correct horse"), "a", [20]byte{prover}, [20]byte{verifier}, nonce, challenge))[6:]
	}
	a := node(1)
	honest := meet(a, 2, [16]byte{7})
	heard := proof(2, 1, [16]byte{7}, honest.key.nonce)
	if err := a.shoalMessage(honest, heard); err != nil || honest.class != LAN || !honest.key.proven {
		t.Fatalf("an honest proof: %v, class %v", err, honest.class)
	}
	a.end(honest, errFull)
	again := meet(a, 2, [16]byte{7}) // who heard it comes by the same name, with the same nonce
	b := node(3)
	other := meet(b, 2, [16]byte{7})
	mirror := meet(a, 4, [16]byte{8})
	for name, x := range map[string]struct {
		at  *bench
		c   *conn
		say []byte
	}{
		"another connection": {a, again, heard},
		"another node":       {b, other, heard},
		"our own, reflected": {a, mirror, proof(1, 4, mirror.key.nonce, [16]byte{8})},
		"half":               {a, mirror, heard[:20]},
	} {
		err := x.at.shoalMessage(x.c, x.say)
		if x.c.key.proven || x.c.class == LAN {
			t.Errorf("%s: taken, %v", name, err)
		}
	}
	for range 10 * maxNonsense { // and not for ever
		if err := a.shoalMessage(again, heard); err != nil {
			return
		}
	}
	t.Error("proofs that do not hold are heard for ever")
}
