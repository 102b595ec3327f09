package dht

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Config configures a Node. Send must be set; the rest may be zero.
type Config struct {
	// Send sends a datagram from the port whose datagrams HandleUDP gets. It must not block for long.
	Send func(b []byte, to netip.AddrPort) error
	// IPv4 and IPv6 say which networks to take part in; if neither is set, both.
	IPv4, IPv6 bool
	// Port is the number of the port: that of UDP, at which nodes reach us, and of TCP, at which the machines around do. Zero: none.
	Port int
	// Bootstrap are nodes to begin with, HOST:PORT each.
	Bootstrap []string
	// Private keeps to addresses that are not public, unless Bootstrap names a public one.
	Private bool
	// ReadOnly only asks and never answers (BEP 43): for machines that come and go.
	ReadOnly bool
	// Own says whether an address is one of this machine's. If others see us at an address that is not, a translator is between: then the node is
	// read-only too. Nil: never.
	Own func(netip.Addr) bool
	// Local is our address towards another, so that we can name ourselves as a peer of what we have. Nil, or the zero address: it is not known.
	Local func(to netip.Addr) netip.Addr
	// Dir is where the table of nodes is kept between runs; "": nowhere.
	Dir string
	// Log receives the node's log. Nil discards it.
	Log *slog.Logger
}

// Node takes part in the DHT. Its methods are safe for concurrent use.
type Node struct {
	cfg     Config
	nets    [2]*half // nil: not taken part in
	calls   calls
	tokens  tokens
	peers   peerStore
	items   itemStore
	sources *sourceLimit  // of queries
	offered *sourceLimit  // of nodes that are to be asked for a sign of life
	asking  *rate.Limiter // queries that we send
	giving  *rate.Limiter // bytes of answers
	queue   chan query
	pings   chan contact
	jobs    scheduler
	upkeep  *rate.Limiter             // queries for the table's sake, part of asking's
	seeding *rate.Limiter             // look-ups for seeds
	saved   atomic.Pointer[[]contact] // nodes of the last run, until the table has some

	natted    atomic.Bool
	onlyLocal atomic.Bool // see Config.Private
	bootstrap atomic.Pointer[[]netip.AddrPort]
	resolved  chan struct{} // closed when Bootstrap has been looked up for the first time

	counts struct{ queries, answers, dropped, refused, lookups atomic.Int64 }
}

// query is a question of another node, to be answered by one of our goroutines.
type query struct {
	m     *message
	from  netip.AddrPort
	reply func([]byte)
}

const (
	// queriesPerSec and queryBurst are what one source may ask.
	queriesPerSec, queryBurst = 20, 100
	// maxQueue bounds queries that wait; more are dropped, as the network would.
	maxQueue = 512
	// askPerSec bounds our own queries, giveBytesPerSec our answers.
	askPerSec, askBurst           = 200, 300
	giveBytesPerSec, giveAtOnce   = 512 << 10, 2 << 20
	servers                       = 2
	expireTime, cleanTime         = 200 * time.Millisecond, time.Minute
	clientName                    = "SH\x00\x01"
	maxPings                      = 256
	resolveTime, resolveAgainTime = 5 * time.Second, time.Minute
)

// New makes a node. Nothing happens until Run.
func New(cfg Config) *Node {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if !cfg.IPv4 && !cfg.IPv6 {
		cfg.IPv4, cfg.IPv6 = true, true
	}
	n := &Node{cfg: cfg, sources: newSourceLimit(queriesPerSec, queryBurst), offered: newSourceLimit(1.0/30, 1),
		asking: rate.NewLimiter(askPerSec, askBurst), giving: rate.NewLimiter(giveBytesPerSec, giveAtOnce),
		upkeep: rate.NewLimiter(upkeepPerSec, upkeepPerSec), seeding: rate.NewLimiter(seedsPerSec, seedBurst),
		queue: make(chan query, maxQueue), pings: make(chan contact, maxPings), resolved: make(chan struct{})}
	n.jobs.init()
	for f, in := range [...]bool{cfg.IPv4, cfg.IPv6} {
		if in {
			n.nets[f] = &half{table: table{self: randomID()}}
		}
	}
	n.bootstrap.Store(new([]netip.AddrPort))
	n.saved.Store(new([]contact))
	n.onlyLocal.Store(cfg.Private)
	return n
}

// Run takes part until ctx is done, and returns once everything it started has stopped.
func (n *Node) Run(ctx context.Context) error {
	n.load()
	var wg sync.WaitGroup
	for range servers {
		wg.Go(func() { n.serve(ctx) })
	}
	wg.Go(func() { n.resolve(ctx) })
	wg.Go(func() { n.expire(ctx) })
	wg.Go(func() { n.ping(ctx) })
	wg.Go(func() { n.runJobs(ctx) })
	for f, h := range n.nets {
		if h != nil {
			wg.Go(func() { n.maintain(ctx, family(f)) })
		}
	}
	wg.Wait()
	n.save(time.Now())
	return nil
}

// HandleUDP takes a datagram that may be of the DHT. It does not block: queries are put into a bounded queue, and answered by reply, which
// must be safe to call at any time and from any goroutine. pkt is not kept.
func (n *Node) HandleUDP(pkt []byte, from netip.AddrPort, reply func([]byte)) {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if len(pkt) == 0 || len(pkt) > maxPacket || !reachable(from) || !n.admits(from.Addr()) || n.nets[familyOf(from.Addr())] == nil {
		return
	}
	m, err := parse(bytes.Clone(pkt))
	if err != nil {
		n.counts.refused.Add(1)
		n.cfg.Log.Debug("datagram refused", "peer", from, "err", err)
		return
	}
	now := time.Now()
	if m.kind != 'q' {
		n.answered(m, from, now)
		return
	}
	n.counts.queries.Add(1)
	if !n.sources.allow(from, now) {
		n.counts.dropped.Add(1)
		return
	}
	select {
	case n.queue <- query{m, from, reply}:
	default:
		n.counts.dropped.Add(1)
	}
}

// admits says whether the node speaks with that address.
func (n *Node) admits(a netip.Addr) bool { return !n.onlyLocal.Load() || !Routable(a) }

// answered takes an answer, or a refusal, to a query of ours.
func (n *Node) answered(m *message, from netip.AddrPort, now time.Time) {
	c, ok := n.calls.end(from, m.tid)
	if !ok {
		return
	}
	n.counts.answers.Add(1)
	h := n.nets[familyOf(from.Addr())]
	if m.kind == 'e' || m.id == nil {
		c.finish(result{c.contact, m})
		return
	}
	if m.readOnly { // it should not have answered at all
		c.finish(result{c.contact, m})
		return
	}
	who := contact{*m.id, from}
	if self := h.answered(who, m.ip, now); self.IsValid() {
		natted := n.cfg.Own != nil && !n.cfg.Own(self)
		n.natted.Store(natted)
		n.cfg.Log.Debug("our address as others see it", "address", self, "own", !natted)
	}
	c.finish(result{who, m})
}

// readOnly says whether we only ask (BEP 43).
func (n *Node) readOnly() bool { return n.cfg.ReadOnly || n.natted.Load() }

// ask sends a query, as soon as our own limit allows; done hears what became of it, unless ask returns an error, which is the context's. m is
// not changed.
func (n *Node) ask(ctx context.Context, to contact, m message, done chan<- result) error {
	if err := n.asking.Wait(ctx); err != nil {
		return err
	}
	h := n.nets[familyOf(to.addr.Addr())]
	if h == nil || !n.admits(to.addr.Addr()) {
		(&call{done: done}).finish(result{contact: to})
		return nil
	}
	tid, ok := n.calls.begin(to, done, time.Now())
	if !ok {
		(&call{done: done}).finish(result{contact: to})
		return nil
	}
	id := h.id()
	m.kind, m.tid, m.id, m.readOnly, m.client = 'q', tid, &id, n.readOnly(), []byte(clientName)
	if err := n.cfg.Send(m.append(make([]byte, 0, 256)), to.addr); err != nil {
		if c, ok := n.calls.end(to.addr, tid); ok {
			h.failed(to)
			c.finish(result{contact: to})
		}
	}
	return nil
}

// expire gives up what has waited too long, and forgets what nobody has renewed.
func (n *Node) expire(ctx context.Context) {
	tick := time.NewTicker(expireTime)
	defer tick.Stop()
	cleaned := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, c := range n.calls.expire(now) {
				n.nets[familyOf(c.addr.Addr())].failed(c.contact)
				c.finish(result{contact: c.contact})
			}
			if now.Sub(cleaned) >= cleanTime {
				cleaned = now
				n.peers.expire(now)
				n.items.expire(now)
			}
		}
	}
}

// ping asks nodes that we have heard of for a sign of life; those who give one get into the table.
func (n *Node) ping(ctx context.Context) {
	done := make(chan result, 1) // nobody reads it: what matters is the table
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-n.pings:
			if n.ask(ctx, c, message{method: qPing}, done) != nil {
				return
			}
		}
	}
}

// Meet takes the address of a node that somebody told of, such as a peer (BEP 5, PORT).
func (n *Node) Meet(a netip.AddrPort) {
	a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	if !reachable(a) || !n.admits(a.Addr()) || n.nets[familyOf(a.Addr())] == nil {
		return
	}
	n.pingSoon(contact{addr: a})
}

// pingSoon has a node pinged, if not too many wait for it already; the same one not again and again, whoever names it.
func (n *Node) pingSoon(c contact) {
	if !n.offered.allow(c.addr, time.Now()) {
		return
	}
	select {
	case n.pings <- c:
	default:
	}
}

// heardOf takes nodes that another one has named. Where our table has room for one, it is asked itself.
func (n *Node) heardOf(from netip.AddrPort, list []contact, now time.Time) {
	for _, c := range list {
		if !n.believes(from, c.addr) {
			continue
		}
		if n.nets[familyOf(c.addr.Addr())].heard(c, now) {
			n.pingSoon(c)
		}
	}
}

// believes says whether an address that another node names is worth a packet. Nobody on the Internet can send us to machines of our own networks.
func (n *Node) believes(from, named netip.AddrPort) bool {
	ip := named.Addr()
	return n.nets[familyOf(ip)] != nil && n.admits(ip) && (Routable(ip) || !Routable(from.Addr()))
}

// Port is the UDP port that nodes can reach, 0 if there is none.
func (n *Node) Port() int {
	if n.readOnly() {
		return 0
	}
	return n.cfg.Port
}

// NetStats is our place in one network.
type NetStats struct {
	ID         string `json:"id"`
	Nodes      int    `json:"nodes"`             // in the table
	Good       int    `json:"good"`              // of these, those that have answered lately
	ExternalIP string `json:"address,omitempty"` // how others see us, when enough agree
}

// Stats are a node's numbers at one moment; the counters count from its start.
type Stats struct {
	IPv4     *NetStats `json:"ipv4,omitempty"`
	IPv6     *NetStats `json:"ipv6,omitempty"`
	ReadOnly bool      `json:"read_only"`
	Torrents int       `json:"torrents"` // that we look for and announce
	Lookups  int64     `json:"lookups"`
	Queries  int64     `json:"queries"` // of others
	Dropped  int64     `json:"dropped"` // of these, beyond our limits
	Refused  int64     `json:"refused"` // datagrams that made no sense
	Hashes   int       `json:"hashes"`  // that others have announced here
	Peers    int       `json:"peers"`   // of these
	Items    int       `json:"items"`   // of BEP 44 that are kept for others
}

// Stats answers what has happened so far.
func (n *Node) Stats() Stats {
	now := time.Now()
	s := Stats{ReadOnly: n.readOnly(), Torrents: n.jobs.count(), Lookups: n.counts.lookups.Load(), Queries: n.counts.queries.Load(),
		Dropped: n.counts.dropped.Load(), Refused: n.counts.refused.Load(), Items: n.items.count()}
	s.Hashes, s.Peers = n.peers.count()
	for f, into := range [...]**NetStats{&s.IPv4, &s.IPv6} {
		if h := n.nets[f]; h != nil {
			x := new(NetStats)
			x.Nodes, x.Good = h.count(now)
			h.mu.Lock()
			x.ID = h.table.self.String()
			if h.self.IsValid() {
				x.ExternalIP = h.self.String()
			}
			h.mu.Unlock()
			*into = x
		}
	}
	return s
}
