package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/sock"
	"shoal/swarm/wire"
)

// conn is one connection to a peer. Its reader and its writer are goroutines of their own; what
// is marked so belongs to the session's loop.
type conn struct {
	s       *session
	nc      net.Conn
	addr    netip.AddrPort // the connection's far end
	id      [20]byte
	claim   uint64 // its claim to pieces of its site
	gate    bool   // content comes into its place through it
	met     bool   // its extended handshake has come, so that we know its role
	lost    bool   // it has acknowledged nothing for a while, and may be gone
	inbound bool
	fast    bool // BEP 6
	ext     bool // BEP 10
	v2      bool // BEP 52: speaks about the v2 torrent
	shoal   bool // by its peer id: a hint that decides nothing about trust
	bit52   bool // offers BEP 52 in its handshake
	dht     bool // says that it is in the DHT
	lane    atomic.Uint32
	gauged  time.Time // the writer's: when its governor was last told that it writes
	took    way       // how it was dialled
	pin     string    // the address the user named, if this is it
	closing sync.Once
	out     outbox

	rmu      sync.Mutex
	requests map[blockKey]*request // asked of the peer and not answered

	// All below belongs to the loop.
	joined, lastIn, lastOut time.Time
	gone                    bool
	why                     error
	client                  string
	role                    Role
	site                    string
	listen                  uint16 // the port it can be dialled at, 0 unknown
	theirMetadata           byte   // its id for ut_metadata
	theirShoal              byte
	told                    []byte // the note that it has heard from us
	notes                   int    // how many it has told us
	theirDontHave           byte
	wantsSealed             bool // it prefers encrypted connections
	metadataSize            int
	metadataOwed            int       // pieces of metadata that it was asked for and has not sent
	metadataAfter           time.Time // it is not asked before then
	metadataRefused         int       // how often it has said no
	overstayed              bool      // it took too long over the description that we gave it
	reqq                    int
	class                   Class
	near                    bool // on a network that we are attached to
	home                    bool // of our site, whatever its class
	key                     siteState
	pex                     pexState

	early      []byte // what it has, from before we knew the torrent: a bitfield, or nil
	earlyAll   bool
	earlyHaves []uint32
	introduced bool // have is valid
	toldBits   bool // it has told what it has; only HAVEs may follow
	seed       bool // it has everything
	have       bitset
	useful     int  // wanted pieces it has and we lack
	fresh      int  // those of them that are to be begun
	dry        bool // none of these may be asked of it now
	nonsense   *budget
	gaveUp     *budget   // pieces that it took back; nil: none yet
	load       load      // what it says of itself
	ourLoad    wire.Load // what it was told of us
	toldLoad   time.Time
	offeredAt  time.Time // when what it offered was last looked at

	// What we ask of it.
	choked      bool       // it chokes us
	interested  bool       // we told it that we are
	boredAt     time.Time  // since when we are not, if it was not told yet
	order       []*request // not answered, oldest first; some may be done
	asked       int        // how many are not
	askedAt     time.Time  // since when some are
	outstanding int64      // bytes of them
	askedEver   int64
	window      int64             // bytes that may be outstanding
	way         time.Duration     // the least time from asking to having
	margin      time.Duration     // what must wait less is not taken over by others: its cancel would come too late
	at          *openPiece        // the piece that it is asked for from front to back
	refused     map[int]time.Time // pieces it does not give: not asked for until then
	rejects     int               // in a row
	restUntil   time.Time
	lag         time.Duration // how long its last answer took
	lagAt       time.Time     // when that came
	snubbed     bool          // it has not answered for long
	received    int64
	uninvited   int64 // bytes received that were not asked for, or no longer
	lastBlock   time.Time
	hashAsks    map[wire.HashSpec]bool // hashes asked and not answered
	fetching    map[int]time.Time      // pieces it says it fetches for the site
	leasesOver  bool                   // the origin leases no more
	leased      map[int]bool           // pieces that an origin shows to us
	allowed     map[int]bool           // pieces that we may ask for while choked
	rateDown    float64                // bytes per second
	recvMark    int64
	giving      giving
	standing    int8 // 1: it is much faster than others when it is asked, -1: much slower
	idle        idleTimes

	// What it asks of us.
	choking        bool          // we choke it
	granted        map[int]int64 // bytes of pieces that it may ask for while choked
	wants          bool          // it is interested
	sets           [setIDs]int32 // where it stands in each connSet, from 1; 0: it does not
	queue          []upRequest
	queuedBytes    int64     // of it
	wire           gauge     // its socket, when last looked at
	moved          time.Time // when something was last acknowledged, or nothing was to be
	gaugedAt       time.Time // when its socket was last looked at
	looked         int64     // sent, when last looked at
	ackMark        uint64
	ackRate        float64 // bytes per second
	inflight       int64   // bytes handed to the writer
	sent           int64
	served         int64 // what it got since it has asked without a pause, on a scale that all share (start-time fair queuing)
	sentMark       int64
	rateUp         float64
	lastSent       time.Time
	lastPiece      uint32 // of which its writer was handed something last
	given          int64  // bytes of it that it was handed
	through        bool   // and nothing more of it waits
	unchokedAt     time.Time
	chokedAt       time.Time // when its last turn ended
	queuedAt       time.Time // since when requests wait
	optimistic     bool
	metadataServed int
	revealed       bitset    // what we told it that we have
	toldAll        time.Time // when we told it so by a bitfield last
	open           bool      // while leasing: it was told that we have everything
	hunger         hunger
}

func newConn(s *session, nc net.Conn, h wire.Handshake, inbound bool) *conn {
	c := &conn{
		s: s, nc: nc, id: h.PeerID, claim: claim(h.PeerID), inbound: inbound, fast: h.Fast, ext: h.Extended,
		choked: true, choking: true, reqq: 250, window: startWindow, margin: stealAge,
		requests: make(map[blockKey]*request), hashAsks: make(map[wire.HashSpec]bool),
		refused: make(map[int]time.Time), fetching: make(map[int]time.Time), leased: make(map[int]bool),
		nonsense: newBudget(maxNonsense),
	}
	c.out.overflow = c.close
	c.out.notify = make(chan struct{}, 1)
	id := s.t.id.Load()
	c.v2 = id.hasV2 && h.V2 || id.v2OnWire(h.InfoHash)
	c.bit52, c.dht = h.V2, h.DHT
	c.shoal = strings.HasPrefix(string(h.PeerID[:]), PeerIDPrefix)
	c.addr = remote(nc)
	return c
}

// remote is the address of the other end.
func remote(nc net.Conn) netip.AddrPort {
	a, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return unmapped(a.AddrPort())
}

// unmapped is an address as it is compared with others: IPv4 is never written as IPv6.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// receive makes a connection that somebody opened one that can be read, and reads the handshake;
// ctx ends it.
func receive(ctx context.Context, nc net.Conn, open func() (net.Conn, error)) (net.Conn, wire.Handshake, error) {
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Now()) })
	defer stop()
	opened, err := open()
	if err != nil {
		return nil, wire.Handshake{}, err
	}
	h, err := wire.ReadHandshake(opened)
	return opened, h, err
}

// runConn carries a connection until it ends and is closed.
func (s *session) runConn(ctx context.Context, c *conn) error {
	defer c.close()
	sock.BoundUnsent(c.nc, notSent)
	c.nc.SetDeadline(time.Time{})
	defer func() {
		for _, g := range s.t.node.governors {
			g.forget(c)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, c.close)
	defer stop()
	joined := make(chan error, 1)
	if !s.do(func() { joined <- s.join(c) }) {
		return errClosed
	}
	select {
	case err := <-joined:
		if err != nil {
			return err
		}
	case <-s.ended:
		select {
		case err := <-joined:
			if err == nil {
				s.wg.Done()
			}
		default:
		}
		return errClosed
	}
	defer s.wg.Done()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.write(ctx); err != nil {
			c.close()
		}
	})
	wg.Go(func() { // the session's end is the connection's
		select {
		case <-s.ended:
			cancel()
		case <-ctx.Done():
		}
	})
	err := c.read(ctx)
	cancel()
	c.close()
	wg.Wait()
	s.do(func() {
		if c.why == nil {
			c.why = err
		}
		s.leave(c)
	})
	return err
}

func (c *conn) close() { c.closing.Do(func() { c.nc.Close() }) }

// read decodes messages until the connection ends. Content is checked and written here, or beside
// if it is much, so that connections do it side by side; everything else goes to the loop.
func (c *conn) read(ctx context.Context) error {
	r := wire.NewReader(c.nc)
	r.Want = func(index, begin, length uint32) bool { // taken only once it is all here: it may never be
		return c.findRequest(index, begin, length, false) != nil
	}
	r.Await = c.awaits()
	in := newIntake(c)
	defer in.close()
	var m wire.Message
	control := newBudget(maxControl)
	bitfields := newBudget(maxBitfields)
	for {
		c.nc.SetReadDeadline(time.Now().Add(silentTime + 10*time.Second))
		r.Bits = (c.out.pieces.Load() + 7) / 8
		if err := r.Next(&m); err != nil {
			return err
		}
		switch m.Type {
		case wire.Piece:
			if err := c.block(ctx, in, m); err != nil {
				return err
			}
			continue
		case wire.Have, wire.Request, wire.Cancel, wire.Reject, wire.HashRequest, wire.Hashes, wire.HashReject:
			// The loop knows which make sense.
		case wire.Bitfield, wire.HaveAll, wire.HaveNone:
			if !bitfields.take(time.Now()) {
				return errBitfields // not left to the loop: each may be long
			}
		default:
			if cost := controlCost(&m); cost > 0 && !control.takeMany(time.Now(), cost) {
				return errors.New("flood of messages")
			}
		}
		x := m
		if !c.s.do(func() {
			if !c.gone {
				c.lastIn = c.s.now()
				if err := c.s.handle(c, &x); err != nil {
					c.s.end(c, err)
				}
			}
		}) {
			return errClosed
		}
	}
}

// block takes a block: if it was asked for, it is verified if it can be, written, and reported.
func (c *conn) block(ctx context.Context, in *intake, m wire.Message) error {
	s := c.s
	var q *request
	if m.Payload != nil {
		q = c.findRequest(m.Index, m.Begin, m.Length, true)
	}
	if q == nil { // cancelled meanwhile, or never asked for
		m.Release()
		n := int64(m.Length)
		if !s.do(func() { s.unasked(c, n) }) {
			return errClosed
		}
		return nil
	}
	for _, p := range s.inbound(c.lane.Load()) {
		if err := c.spend(ctx, p, int64(len(m.Payload))); err != nil {
			m.Release()
			return err
		}
	}
	return in.take(block{q, m})
}

// links finds out what kind of neighbour the connection leads to.
func (c *conn) links(s *session) {
	c.near = s.t.node.links.attached(c.addr.Addr())
	c.classify(s)
}

// classify says which class the peer's bytes count as.
func (c *conn) classify(s *session) {
	c.home = c.sameSite(s)
	switch {
	case c.role == RoleOrigin:
		c.class = Origin
	case c.role == RoleEdge:
		c.class = Edges
	case c.home:
		c.class = LAN
	default:
		c.class = Peers
	}
	s.moveQueue(c, c.laneOf())
}

// rtt is the connection's round trip time; a long time where it is not known.
func (c *conn) rtt() time.Duration {
	if x, ok := c.nc.(interface{ RTT() time.Duration }); ok {
		return x.RTT()
	}
	return rtt(c.nc)
}

// mayGive says whether our upload policy lets this peer have content from us.
func (c *conn) mayGive() bool {
	switch c.s.t.node.cfg.Upload {
	case UploadAll:
		return true
	case UploadSite:
		return c.near || c.class == LAN
	case UploadLAN:
		return c.near
	}
	return false
}

func (c *conn) lastUse() time.Time {
	if c.lastSent.After(c.lastBlock) {
		return c.lastSent
	}
	return c.lastBlock
}

func (c *conn) meterTick(d time.Duration) {
	ewma := func(old float64, n int64) float64 {
		now := float64(n) / d.Seconds()
		if old == 0 {
			return now
		}
		return 0.6*old + 0.4*now
	}
	c.rateDown = ewma(c.rateDown, c.received-c.recvMark)
	c.giving.gave(c.received - c.recvMark)
	c.rateUp = ewma(c.rateUp, c.sent-c.sentMark)
	c.recvMark, c.sentMark = c.received, c.sent
}

func (c *conn) String() string { return fmt.Sprintf("%s (%s)", c.addr, c.client) }
