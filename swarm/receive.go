package swarm

import (
	"fmt"
	"math/bits"
	"net/netip"

	"shoal/swarm/wire"
)

// greet sends the extended handshake (BEP 10), which does not need the torrent.
func (s *session) greet(c *conn) {
	if !c.ext {
		return
	}
	cfg := &s.t.node.cfg
	h := wire.ExtHandshake{
		M: map[string]int{wire.NameMetadata: int(wire.IDMetadata), wire.NameShoal: int(wire.IDShoal),
			wire.NameDontHave: int(wire.IDDontHave)},
		Client: cfg.UserAgent, Reqq: maxQueue, Port: s.portFor(c),
		YourIP: string(c.addr.Addr().AsSlice()),
		Shoal:  &wire.Shoal{Role: cfg.Role.String(), Site: cfg.Site, Up: s.t.node.up[away].Rate(), Nonce: s.siteNonce(c)},
	}
	if !s.private() {
		h.M[wire.NamePex] = int(wire.IDPex)
	}
	if cfg.Encryption == EncryptionRequire {
		h.Encrypt = 1
	}
	if s.described || s.describes() {
		h.MetadataSize = len(s.torrent.Bytes)
	}
	if s.torrent != nil {
		if s.t.spec.Content != "" && s.reveal == nil {
			h.UploadOnly = 1 // BEP 21
		}
	}
	c.out.put(func(b []byte) []byte {
		b, err := h.Append(b)
		if err != nil {
			s.log.Warn("extended handshake", "err", err)
		}
		return b
	})
}

// introduce tells a peer what we have, and takes in what it said it has before we knew the torrent.
func (s *session) introduce(c *conn) {
	n := s.torrent.NumPieces()
	c.have, c.revealed = newBitset(n), newBitset(n)
	c.introduced = true
	c.hunger.gained = s.now()
	c.out.pieces.Store(int64(n))
	have := &s.have
	if !c.v2 && s.torrent.HasV2 {
		have = &s.v1ok // a v1 peer gets only what was checked against SHA-1 as well
	}
	switch {
	case s.reveal != nil && s.reveal.joins(c, s.leechers(), s.now()):
		have = &c.revealed
		for _, o := range s.conns { // the first that came
			s.hide(o)
		}
	case s.reveal != nil:
		c.open = true
	}
	switch {
	case c.fast && have.set == 0:
		c.out.plain(wire.HaveNone)
	case c.fast && have.full():
		c.out.plain(wire.HaveAll)
	case have.set > 0:
		bits := have.clone()
		c.out.put(func(b []byte) []byte { return wire.AppendBitfield(b, bits.b) })
	}
	if have != &c.revealed {
		c.revealed = have.clone()
	}
	if c.shoal && c.mayGive() {
		s.unchoke(c)
	}
	s.grantFast(c)
	switch {
	case c.earlyAll:
		s.tookBits(c, nil)
	case len(c.early) > 0:
		if !s.tookBits(c, c.early) {
			s.end(c, errBitfield)
			return
		}
	}
	for _, p := range c.earlyHaves {
		if int(p) < n {
			s.tookHave(c, int(p))
		}
	}
	c.early, c.earlyHaves = nil, nil
	s.interest(c)
}

// leechers counts connected peers that do not have everything.
func (s *session) leechers() int { return len(s.conns) - s.seeds }

var errBitfield = fmt.Errorf("bitfield does not fit the torrent")

// tookBits takes a whole bitfield; nil means everything.
func (s *session) tookBits(c *conn, bits []byte) bool {
	if c.toldBits { // BEP 3 has it as the first message only; aria2 sends one for many HAVEs
		return s.tookMore(c, bits)
	}
	c.toldBits = true
	if bits == nil {
		c.have.fill()
	} else if !c.have.load(bits) {
		return false
	}
	s.seeding(c)
	for p := range c.have.n {
		if c.have.has(p) {
			s.counted(c, p)
		}
	}
	return true
}

// tookMore takes a bitfield that comes later: what is new in it counts like HAVEs, and nothing is
// taken back.
func (s *session) tookMore(c *conn, told []byte) bool {
	now := newBitset(c.have.n)
	if told == nil {
		now.fill()
	} else if !now.load(told) {
		return false
	}
	for i, b := range now.b {
		for b &^= c.have.b[i]; b != 0; b &= b - 1 {
			s.tookHave(c, 8*i+7-bits.TrailingZeros8(b))
		}
	}
	return true
}

// tookHave takes one piece more; false if it is none.
func (s *session) tookHave(c *conn, p int) bool {
	c.toldBits = true
	if !c.have.add(p) {
		return false
	}
	delete(c.refused, p)      // a new offer
	if s.seeding(c); c.seed { // from now on it counts for no piece
		for q := range c.have.n {
			if q != p {
				s.pick.lost(q)
			}
		}
	}
	s.counted(c, p)
	s.announced(c, p, s.now())
	if s.reveal != nil {
		s.reveal.has(c, p, s.now())
	}
	return true
}

// counted counts a piece that c has just told of.
func (s *session) counted(c *conn, p int) {
	if !c.seed {
		s.pick.gained(p)
	}
	if s.lacks(p) {
		c.useful++
	}
	if s.pick.waits(p) {
		c.fresh++
		c.dry = false
	}
}

// seeding notes that c has everything.
func (s *session) seeding(c *conn) {
	if !c.seed && c.have.full() {
		c.seed = true
		s.seeds++
		s.t.counts.seeds.Store(int64(s.seeds))
		s.countLent(c, -1)
	}
}

// lacks says whether piece p is wanted and not verified.
func (s *session) lacks(p int) bool { return s.wanted.has(p) && !s.have.has(p) }

// handle takes one message other than a block. An error ends the connection.
func (s *session) handle(c *conn, m *wire.Message) error {
	switch m.Type {
	case wire.Choke:
		c.choked = true
		if !c.fast { // BEP 3: what was asked is dropped; BEP 6: each request is rejected by name
			s.releaseAll(c)
			s.fillAll()
		}
	case wire.Unchoke:
		c.choked, c.rejects = false, 0
		clear(c.refused) // a new offer
		s.fill(c)
	case wire.Interested:
		c.wants = true
		s.fillSlots()
	case wire.NotInterested:
		c.wants = false
		s.fillSlots()
	case wire.Have, wire.Bitfield, wire.HaveAll, wire.HaveNone:
		return s.handleHave(c, m)
	case wire.Request:
		return s.requested(c, m)
	case wire.Cancel:
		return s.cancelled(c, m)
	case wire.Reject:
		return s.rejected(c, m)
	case wire.Extended:
		return s.handleExtended(c, m)
	case wire.Port:
		s.tookPort(c, m.Index)
	case wire.HashRequest:
		return s.hashRequested(c, m.Hash)
	case wire.Hashes:
		return s.tookHashes(c, m.Hash, m.Payload)
	case wire.AllowedFast:
		s.allowed(c, m.Index)
	case wire.HashReject:
		if !c.hashAsks[m.Hash] {
			return c.useless("refusals of what was not asked")
		}
		s.hashesRejected(c, m.Hash)
	}
	return nil
}

func (s *session) handleHave(c *conn, m *wire.Message) error {
	if !c.introduced {
		c.tookEarly(m)
		return nil
	}
	switch m.Type {
	case wire.Have:
		if int64(m.Index) >= int64(c.have.n) {
			return fmt.Errorf("HAVE of piece %d of %d", m.Index, c.have.n)
		}
		p := int(m.Index)
		if !s.tookHave(c, p) {
			return c.useless("HAVEs that say nothing new")
		}
		if c.leases() {
			s.lends(c, p)
		}
	case wire.Bitfield:
		if !s.tookBits(c, m.Payload) {
			return errBitfield
		}
	case wire.HaveAll:
		if !s.tookBits(c, nil) {
			return errBitfield
		}
	case wire.HaveNone:
		c.toldBits = true
	}
	s.interest(c)
	s.fill(c)
	return nil
}

// maxEarly bounds the HAVEs that are remembered of a peer before the torrent is known.
const maxEarly = 4096

// tookEarly remembers what a peer has while we do not know the torrent.
func (c *conn) tookEarly(m *wire.Message) {
	switch m.Type {
	case wire.Have:
		if i := m.Index >> 3; int64(i) < int64(len(c.early)) {
			c.early[i] |= 0x80 >> (m.Index & 7)
		} else if len(c.earlyHaves) < maxEarly {
			c.earlyHaves = append(c.earlyHaves, m.Index)
		}
	case wire.Bitfield:
		c.early = m.Payload
	case wire.HaveAll:
		c.earlyAll = true
	}
}

func (s *session) handleExtended(c *conn, m *wire.Message) error {
	switch m.ExtID {
	case wire.IDHandshake:
		h, err := wire.ParseExtHandshake(m.Payload)
		if err != nil {
			return err
		}
		s.met(c, h)
	case wire.IDMetadata:
		x, err := wire.ParseMetadata(m.Payload)
		if err != nil {
			return err
		}
		return s.metadata(c, x)
	case wire.IDShoal:
		return s.shoalMessage(c, m.Payload)
	case wire.IDPex:
		return s.tookPex(c, m.Payload)
	case wire.IDDontHave:
		p, err := wire.ParseDontHave(m.Payload)
		if err != nil {
			return err
		}
		return s.tookDontHave(c, int(p))
	}
	return nil
}

// met takes the extended handshake.
func (s *session) met(c *conn, h wire.ExtHandshake) {
	c.met, c.client = true, h.Client
	c.theirMetadata = byte(h.M[wire.NameMetadata])
	c.metadataSize = h.MetadataSize
	c.pex.id, c.theirDontHave = byte(h.M[wire.NamePex]), byte(h.M[wire.NameDontHave])
	c.wantsSealed = h.Encrypt == 1
	if h.Reqq > 0 {
		c.reqq = min(h.Reqq, maxQueue)
	}
	if h.Port > 0 {
		c.listen = uint16(h.Port)
		s.book.listens(c, s.now())
	}
	if ip, ok := h.IP(); ok {
		s.self = netip.AddrPortFrom(ip.Unmap(), uint16(s.t.node.port.Load()))
	}
	if h.Shoal != nil {
		c.theirShoal = byte(h.M[wire.NameShoal])
		c.shoal = c.theirShoal != 0
		c.role, _ = ParseRole(h.Shoal.Role)
		c.site = h.Shoal.Site
		s.lanStale = true
		s.proveSite(c, h.Shoal.Nonce)
	}
	s.tellNote(c)
	s.reclassify(c)
	s.hide(c)
	s.countDescribers()
	if s.torrent == nil {
		s.tickMetadata(s.now())
	} else {
		s.fill(c)
	}
}
