package swarm

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/disk"
	"shoal/swarm/announce"
	"shoal/swarm/lan"
)

// Config configures a Node. The zero value is usable: an ordinary peer without limits.
type Config struct {
	// PeerID identifies the node (BEP 20). Zero: a random one with Shoal's prefix.
	PeerID [20]byte
	// Port is the TCP port that others can dial, announced to trackers. Zero: none.
	Port int
	// Role and Site are told to other Shoal nodes.
	Role Role
	Site string
	// SiteKey is shared by the machines of the site: those that know it are of the site, and no others.
	// "": the site is who says its name and is near.
	SiteKey string
	// Upload is whom the node gives content to.
	Upload Upload
	// LimitUp, LimitDown and LimitLAN are the Limits to begin with: Node.SetLimits changes them.
	LimitUp, LimitDown, LimitLAN int64
	// MinRate is that of the Limits. Zero: DefaultMinRate; negative: none.
	MinRate int64
	// LAN, if set, has neighbours found by what they announce; Port, Log and Found are filled in.
	LAN *lan.Config
	// Encryption is whether connections are encrypted.
	Encryption Encryption
	// Admit says which addresses are spoken with, whoever opens the connection; nil: all. It is asked
	// again while connections last, by many goroutines.
	Admit func(netip.Addr) bool
	// MaxPeers is that of the Limits. Zero: 80.
	MaxPeers int
	// Finder finds peers beside trackers, and is told of nodes that peers name. Nil: there is none. Private torrents never touch it.
	Finder Finder
	// UserAgent is told to trackers, web seeds and peers.
	UserAgent string
	// Log receives the node's log. Nil discards it.
	Log *slog.Logger

	boot string // names the run of the operating system; tests make their own
}

// PeerIDPrefix opens the peer id of every Shoal node (BEP 20).
const PeerIDPrefix = "-SH"

func (c Config) withDefaults() Config {
	if c.PeerID == ([20]byte{}) {
		copy(c.PeerID[:], PeerIDPrefix+"0100-")
		crand.Read(c.PeerID[8:])
	}
	c.MaxPeers = cmp.Or(c.MaxPeers, 80)
	c.MinRate = cmp.Or(c.MinRate, DefaultMinRate)
	c.UserAgent = cmp.Or(c.UserAgent, "Shoal")
	c.boot = cmp.Or(c.boot, disk.BootID())
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Node is this machine's part in swarms: any number of torrents behind one identity.
type Node struct {
	cfg       Config
	world     world
	links     links
	announcer *announce.Scheduler
	lan       *lan.Discovery // nil: none
	port      atomic.Int32   // at which others reach us
	limits    atomic.Pointer[Limits]
	up, down  paces
	governors [lanes]*governor
	verifying chan struct{} // slots for hashing pieces

	mu        sync.Mutex
	transfers map[[20]byte]*Transfer
	secrets   map[[20]byte][20]byte // info hashes by their names in encrypted handshakes
	starts    []*session            // that Run is to start
	wake      chan struct{}
	closed    bool
	sealed    *budget            // of encrypted connections that others open
	accepted  int                // connections that others opened, in all
	shaking   map[netip.Addr]int // those of them whose handshake has not come yet, by address
}

const (
	// maxAccepted bounds the connections that others opened to a node.
	maxAccepted = 2000
	// maxShaking bounds those from one address whose handshake has not come yet.
	maxShaking = 64
)

// New makes a node. Nothing happens until Run.
func New(cfg Config) *Node {
	cfg = cfg.withDefaults()
	n := &Node{cfg: cfg, world: realWorld{}, transfers: make(map[[20]byte]*Transfer), secrets: make(map[[20]byte][20]byte),
		shaking: make(map[netip.Addr]int), wake: make(chan struct{}, 1), sealed: newBudget(maxSealed)}
	n.port.Store(int32(cfg.Port))
	n.SetLimits(Limits{Up: cfg.LimitUp, Down: cfg.LimitDown, LAN: cfg.LimitLAN, MinRate: max(cfg.MinRate, 0), MaxPeers: cfg.MaxPeers})
	for i := range n.governors {
		n.governors[i] = newGovernor()
	}
	n.discover()
	n.verifying = make(chan struct{}, runtime.GOMAXPROCS(0))
	n.announcer = announce.NewScheduler(announce.Config{
		PeerID: cfg.PeerID, Port: cfg.Port, Site: cfg.Site, UserAgent: cfg.UserAgent, Log: cfg.Log,
	})
	return n
}

// Run works until ctx is done, and returns once everything it started has stopped.
func (n *Node) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { n.announcer.Run(ctx) })
	for _, g := range n.governors {
		wg.Go(func() { g.run(ctx) })
	}
	if n.lan != nil {
		wg.Go(func() { n.lan.Run(ctx) })
	}
	defer func() {
		n.mu.Lock()
		n.closed = true
		starts := n.starts
		n.starts = nil
		n.mu.Unlock()
		for _, s := range starts {
			s.run(ctx) // which ends at once
		}
	}()
	for {
		n.mu.Lock()
		starts := n.starts
		n.starts = nil
		n.mu.Unlock()
		for _, s := range starts {
			wg.Go(func() { s.run(ctx) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake:
		}
	}
}

// spawn has Run start a session.
func (n *Node) spawn(s *session) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.starts = append(n.starts, s)
	select {
	case n.wake <- struct{}{}:
	default:
	}
	return true
}

// unspawn takes back a session that Run has not started.
func (n *Node) unspawn(s *session) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.Index(n.starts, s)
	if i < 0 {
		return false
	}
	n.starts = slices.Delete(n.starts, i, i+1)
	return true
}

// SetPort changes at which TCP port others are told to dial us, when a router has given us one. On
// the LAN it stays Config.Port.
func (n *Node) SetPort(port int) {
	n.port.Store(int32(port))
	n.announcer.SetPort(port)
}

// Uploads is whom the node gives to; off also means that it speaks with no peers.
func (n *Node) Uploads() Upload { return n.cfg.Upload }

// PeerID is the node's id.
func (n *Node) PeerID() [20]byte { return n.cfg.PeerID }

var errUnknownTorrent = errors.New("no such torrent here")

func (n *Node) find(hash [20]byte) *Transfer {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.transfers[hash]
}

// Transfers are those that were added and are not closed, in no order.
func (n *Node) Transfers() []*Transfer {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []*Transfer
	for h, t := range n.transfers {
		if h == t.hashes()[0] { // a hybrid is there under two
			all = append(all, t)
		}
	}
	return all
}

// HandleConn takes part in swarms over a connection that somebody opened to us, and returns when
// it has ended and is closed. It must be called while Run runs.
func (n *Node) HandleConn(ctx context.Context, nc net.Conn) {
	if n.cfg.Encryption == EncryptionRequire {
		nc.Close()
		return
	}
	n.handle(ctx, nc, func() (net.Conn, error) { return nc, nil })
}

// handle carries a connection that somebody opened to us to its end; open makes it one that can be
// read, which may take as long as a handshake.
func (n *Node) handle(ctx context.Context, nc net.Conn, open func() (net.Conn, error)) {
	defer nc.Close()
	from := remote(nc).Addr()
	if !n.admits(from) {
		return
	}
	n.mu.Lock()
	full := n.accepted >= maxAccepted || n.closed || n.shaking[from] >= maxShaking
	if !full {
		n.accepted++
		n.shaking[from]++
	}
	n.mu.Unlock()
	if full {
		return
	}
	shaken := sync.OnceFunc(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.shaking[from]--; n.shaking[from] == 0 {
			delete(n.shaking, from)
		}
	})
	defer func() {
		shaken()
		n.mu.Lock()
		n.accepted--
		n.mu.Unlock()
	}()
	if err := n.accept(ctx, nc, open, shaken); err != nil && ctx.Err() == nil {
		n.cfg.Log.Debug("connection from a peer ended", "peer", nc.RemoteAddr().String(), "err", err)
	}
}

const handshakeTime = 10 * time.Second

func (n *Node) accept(ctx context.Context, nc net.Conn, open func() (net.Conn, error), shaken func()) error {
	nc.SetDeadline(time.Now().Add(handshakeTime))
	nc, h, err := receive(ctx, nc, open)
	shaken()
	if err != nil {
		return err
	}
	t := n.find(h.InfoHash)
	if t == nil || n.cfg.Upload == UploadOff {
		return errUnknownTorrent
	}
	if h.PeerID == n.cfg.PeerID {
		return errSelf
	}
	s, err := t.session()
	if err != nil {
		return fmt.Errorf("waking the torrent: %w", err)
	}
	c := newConn(s, nc, h, true)
	ours := t.handshake(n.cfg.PeerID)
	ours.InfoHash = h.InfoHash
	if c.v2 { // BEP 52: answering with the v2 hash is the upgrade
		copy(ours.InfoHash[:], t.id.Load().v2[:])
	}
	if _, err := nc.Write(ours.Append(nil)); err != nil {
		return err
	}
	return s.runConn(ctx, c)
}
