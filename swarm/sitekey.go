package swarm

import (
	crand "crypto/rand"

	"shoal/swarm/wire"
)

// Who has a site's key proves it to each machine it meets. Both ends make a nonce for the
// connection and send it in the extended handshake; the proof is made of the key, both peer ids
// and both nonces (wire.NewProof), so that it is of no use to who has heard it, with another
// machine or at another time. Where there is a key, a claim to be of the site counts by proof alone.

// siteState is what a connection's ends know of each other's site.
type siteState struct {
	nonce  [wire.NonceLen]byte // ours
	theirs string              // the nonce it gave; "": it has no key
	proven bool                // it has the key
}

// siteNonce is what the peer is to prove the site for; "" without a key.
func (s *session) siteNonce(c *conn) string {
	if s.t.node.cfg.SiteKey == "" {
		return ""
	}
	if c.key.nonce == ([wire.NonceLen]byte{}) {
		crand.Read(c.key.nonce[:])
	}
	return string(c.key.nonce[:])
}

// proveSite proves our site to a peer that has asked for it, once.
func (s *session) proveSite(c *conn, challenge string) {
	cfg := &s.t.node.cfg
	if cfg.SiteKey == "" || len(challenge) != wire.NonceLen || c.key.theirs != "" || c.theirShoal == 0 {
		return
	}
	s.siteNonce(c)
	c.key.theirs = challenge
	p := wire.NewProof([]byte(cfg.SiteKey), cfg.Site, cfg.PeerID, c.id, c.key.nonce, [wire.NonceLen]byte([]byte(challenge)))
	c.out.put(func(b []byte) []byte { return wire.AppendProof(b, c.theirShoal, p) })
}

// tookProof checks a peer's proof.
func (s *session) tookProof(c *conn, p wire.Proof) error {
	cfg := &s.t.node.cfg
	if cfg.SiteKey == "" || c.key.theirs == "" || c.key.proven {
		return c.useless("proofs that nobody asked for")
	}
	want := wire.NewProof([]byte(cfg.SiteKey), cfg.Site, c.id, cfg.PeerID, [wire.NonceLen]byte([]byte(c.key.theirs)), c.key.nonce)
	if !p.Equal(want) {
		s.log.Debug("a peer has another site key", "peer", c.addr)
		return c.useless("proofs that do not hold")
	}
	c.key.proven = true
	s.reclassify(c)
	return nil
}

// sameSite says whether a peer is of our site: it says the same name, or none if we have none, and
// there is evidence. Without a name the site is whoever LAN discovery has found.
func (c *conn) sameSite(s *session) bool {
	cfg := &s.t.node.cfg
	switch {
	case c.site != cfg.Site:
		return false
	case cfg.SiteKey != "":
		return c.key.proven
	case cfg.Site != "":
		return c.near || c.rtt() <= nearRTT || c.onLAN(s)
	}
	return c.onLAN(s)
}

// reclassify finds out anew what kind of neighbour a peer is, when more is known of it.
func (s *session) reclassify(c *conn) {
	c.classify(s)
	s.lanStale = true
	if c.shoal && c.introduced && c.mayGive() {
		s.unchoke(c)
	}
}
