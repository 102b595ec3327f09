package swarm

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

// book is what is known of peers' addresses: when to dial whom, and who is sent away for a while.
type book struct {
	known   map[netip.AddrPort]*entry
	pinned  map[string]*entry // HOST:PORT as the user gave it
	pins    []string          // the keys of pinned, in the order they came
	bans    map[who]time.Time
	dialing int
	looked  time.Time // when an address that is due was last looked for
	full    time.Time // when none of known was found that could go
}

// who is a peer as far as it can be told from others behind its address. Anybody can claim an
// id, so that an id alone would let a liar have others sent away.
type who struct {
	id [20]byte
	ip netip.Addr
}

type entry struct {
	dialing bool
	conn    bool     // connected now
	self    bool     // it is us
	id      [20]byte // who was met there
	fails   int
	next    time.Time
	until   time.Time // banned
	heard   time.Time
	way     way    // how it can be talked to
	pex     bool   // another peer told of it
	pin     string // HOST:PORT, if the user named it
}

const (
	maxKnown   = 1000
	maxDials   = 16
	banTime    = 10 * time.Minute
	dialTime   = 5 * time.Second
	maxBackoff = time.Minute
	// seedBackoff is how long a seed leaves peers alone that want nothing of it, or can come by themselves.
	seedBackoff = 10 * time.Minute
	// twiceBackoff is for addresses of peers that we are connected to by another.
	twiceBackoff = 30 * time.Second
	// dialPause is between two looks through the book by who has enough peers, or a full book.
	dialPause = time.Second
)

func newBook() *book {
	return &book{known: make(map[netip.AddrPort]*entry), pinned: make(map[string]*entry), bans: make(map[who]time.Time)}
}

// heard takes an address from a tracker or the DHT.
func (b *book) heard(a netip.AddrPort, now time.Time) {
	a = unmapped(a)
	if !a.IsValid() || a.Port() == 0 || a.Addr().IsMulticast() || a.Addr().IsUnspecified() {
		return
	}
	if e := b.known[a]; e != nil {
		e.heard = now
		return
	}
	if len(b.known) >= maxKnown && !b.makeRoom(now) {
		return
	}
	b.known[a] = &entry{heard: now}
}

// makeRoom gives up an address that failed; false: there is none, or was none a moment ago.
func (b *book) makeRoom(now time.Time) bool {
	if now.Sub(b.full) < dialPause {
		return false
	}
	for a, e := range b.known {
		if !e.conn && !e.dialing && e.pin == "" && (e.fails > 2 || now.Sub(e.heard) > 10*time.Minute) {
			delete(b.known, a)
			return true
		}
	}
	b.full = now
	return false
}

// pin takes an address that the user named.
func (b *book) pin(p string) {
	e := &entry{}
	if a, err := netip.ParseAddrPort(p); err == nil { // others may tell of it as well
		a = unmapped(a)
		if known := b.known[a]; known != nil && known.pin == "" {
			e = known
		}
		b.known[a] = e
	}
	e.pin = p
	b.pinned[p] = e
	b.pins = append(b.pins, p)
}

// listens notes at which address a connected peer can be dialled, so that it is not dialled twice.
func (b *book) listens(c *conn, now time.Time) {
	a := netip.AddrPortFrom(c.addr.Addr(), c.listen)
	e := b.known[a]
	if e == nil {
		if len(b.known) >= maxKnown {
			return
		}
		e = &entry{heard: now}
		b.known[a] = e
	}
	if e.id == ([20]byte{}) {
		e.id = c.id
	}
	if e.id == c.id {
		e.conn = true
	}
}

// left notes the end of a connection; done says that we have everything.
func (b *book) left(c *conn, now time.Time, done bool) {
	for _, e := range b.of(c) {
		e.conn = false
		wait := time.Second << min(e.fails, 6)
		if c.received+c.sent > 0 {
			e.fails, wait = 0, time.Second
		} else {
			e.fails++
		}
		if done && (c.seed || c.pin == "") {
			wait = seedBackoff
		} else {
			wait = min(wait, maxBackoff)
		}
		e.next = now.Add(wait)
	}
}

// of lists the entries that a connected peer stands behind: where it was dialled, and where it
// says it listens, unless somebody else was met there.
func (b *book) of(c *conn) (l []*entry) {
	add := func(e *entry) {
		if e != nil && !slices.Contains(l, e) && (e.id == ([20]byte{}) || e.id == c.id) {
			l = append(l, e)
		}
	}
	if c.pin != "" {
		add(b.pinned[c.pin])
	}
	if !c.inbound {
		add(b.known[c.addr])
	}
	if a := netip.AddrPortFrom(c.addr.Addr(), c.listen); c.listen != 0 && (c.inbound || a != c.addr) {
		add(b.known[a])
	}
	return l
}

// ban sends a peer away for a while: by its id at its address and by where it listens, never by
// its IP alone, behind which many machines may stand.
func (b *book) ban(c *conn, now time.Time) {
	if len(b.bans) > 10*maxKnown {
		clear(b.bans)
	}
	b.bans[who{c.id, c.addr.Addr()}] = now.Add(banTime)
	for _, e := range b.of(c) {
		e.until = now.Add(banTime)
	}
}

// banned says whether c is sent away at the moment.
func (b *book) banned(c *conn, now time.Time) bool {
	return now.Before(b.bans[who{c.id, c.addr.Addr()}])
}

func (e *entry) ready(now time.Time) bool {
	return !e.dialing && !e.conn && !e.self && !now.Before(e.next) && !now.Before(e.until)
}

// again has it dialled as if it had never failed.
func (e *entry) again() { e.fails, e.next = 0, time.Time{} }

// addPinned takes addresses that the user named: they are dialled for as long as it takes.
func (s *session) addPinned(peers []string) {
	for _, p := range peers {
		if s.book.pinned[p] == nil && len(s.book.pinned) < maxKnown {
			s.book.pin(p)
		}
	}
	s.dialSome()
}

// dialSome dials addresses that are due, while there is room.
func (s *session) dialSome() {
	if s.failed != nil || s.t.node.cfg.Upload == UploadOff {
		return
	}
	now := s.now()
	s.book.looked = now
	room := s.t.node.Limits().MaxPeers - len(s.conns)
	for _, p := range s.book.pins {
		if e := s.book.pinned[p]; e.ready(now) && s.book.dialing < maxDials {
			s.dial(p, e)
		}
	}
	if s.complete() && s.fetch != nil && s.placed {
		room = min(room, 8) // nothing to get: leave it to those who want
	}
	if room <= 0 {
		return
	}
	far := s.farWanted()
	near := func(a netip.AddrPort) bool { return s.t.node.links.attached(a.Addr()) }
	var ready []netip.AddrPort
	for a, e := range s.book.known {
		if e.ready(now) && (e.fails <= 8 || now.Sub(e.heard) <= time.Minute) && (far > 0 || near(a)) {
			ready = append(ready, a)
		}
	}
	slices.SortFunc(ready, netip.AddrPort.Compare)
	if len(ready) > room { // not all: those that both ends prefer (BEP 40)
		prefer := make(map[netip.AddrPort]uint32, len(ready))
		for _, a := range ready {
			prefer[a] = priority(s.self, a)
		}
		slices.SortStableFunc(ready, func(a, b netip.AddrPort) int { return cmp.Compare(prefer[b], prefer[a]) })
	} else {
		s.rnd.Shuffle(len(ready), func(i, k int) { ready[i], ready[k] = ready[k], ready[i] })
	}
	for _, a := range ready {
		if s.book.dialing >= min(maxDials, room) {
			return
		}
		if far--; far < 0 && !near(a) {
			continue
		}
		s.dial(a.String(), s.book.known[a])
	}
}

// enoughPeers is how many Shoal peers that are not near suffice a machine: each lets it ask at any time, and each
// costs a HAVE of every piece and a look at every turn. More come in by themselves, from those who have fewer.
const enoughPeers = 24

// farWanted is how many of them are still to be dialled.
func (s *session) farWanted() int {
	n := enoughPeers
	for _, c := range s.conns {
		if c.shoal && !c.near && !c.home {
			n--
		}
	}
	return n
}

// dial opens a connection beside the loop.
func (s *session) dial(addr string, e *entry) {
	e.dialing = true
	s.book.dialing++
	s.world.dial(s, addr, e)
}

// connect dials a peer and shakes hands, each time by another of the torrent's names. A peer that
// does not take one kind of connection is at once offered the other, if it is not known what it takes. Its address stays claimed for e.
func (s *session) connect(ctx context.Context, addr string, e *entry, try int, known way) (*conn, error) {
	d := net.Dialer{Timeout: dialTime, ControlContext: s.t.node.mayDial}
	ours := s.t.handshakeAs(s.t.node.cfg.PeerID, try)
	var err error
	for _, w := range s.t.node.cfg.Encryption.ways(known) {
		var dialled net.Conn
		if dialled, err = d.DialContext(ctx, "tcp", addr); err != nil {
			return nil, err
		}
		at := remote(dialled)
		if err = s.reached.claim(at, e); err != nil {
			dialled.Close()
			return nil, err
		}
		nc, h, failed := initiate(ctx, dialled, ours, w, s.t.node.cfg.Encryption)
		switch err = failed; {
		case err != nil:
		case h.PeerID == ours.PeerID:
			err = errSelf
		case !s.t.named(h.InfoHash):
			err = errUnknownTorrent
		default:
			c := newConn(s, nc, h, false)
			c.took = w
			return c, nil
		}
		dialled.Close()
		s.reached.release(at)
		if !refused(err) {
			break
		}
	}
	return nil, err
}

// named says whether h is one of the torrent's hashes on the wire.
func (t *Transfer) named(h [20]byte) bool {
	for _, x := range t.hashes() {
		if x == h {
			return true
		}
	}
	return false
}
