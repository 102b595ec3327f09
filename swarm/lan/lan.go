package lan

import (
	"context"
	crand "crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Config configures a Discovery.
type Config struct {
	// Port is the TCP port that neighbours can dial. Zero: nothing is sent.
	Port int
	// Bound is the address that Port is bound to: only the interface that has it is used. The zero
	// address or an unspecified one: all.
	Bound netip.Addr
	// Loopback has loopback interfaces used too.
	Loopback bool
	// Found is told of each announcement of a torrent of ours, and must return soon. told says that the
	// neighbour knows of us: it has answered, and leaves it to us to dial. Nil: nobody.
	Found func(infoHash [20]byte, peer netip.AddrPort, told bool)
	// Log receives what goes wrong. Nil discards it.
	Log *slog.Logger
}

// Discovery announces torrents to neighbours and hears of theirs. Its methods are safe for
// concurrent use.
type Discovery struct {
	cfg    Config
	cookie string
	wake   chan struct{}
	read   *rate.Limiter // datagrams that are looked at
	sent   *rate.Limiter // datagrams that are sent to groups
	answer *rate.Limiter // and to neighbours

	failures int // in a row, of sending; Run's

	mu    sync.Mutex
	table *table
}

// New makes a Discovery. Nothing happens until Run.
func New(cfg Config) *Discovery {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Discovery{cfg: cfg, cookie: crand.Text()[:16], wake: make(chan struct{}, 1), table: newTable(),
		read: rate.NewLimiter(500, 1000), sent: rate.NewLimiter(1, 10), answer: rate.NewLimiter(20, 50)}
}

// Add has torrents announced. Private ones must not be (BEP 27).
func (d *Discovery) Add(hashes ...[20]byte) {
	d.mu.Lock()
	for _, h := range hashes {
		d.table.add(h, time.Now())
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Remove has torrents announced no more.
func (d *Discovery) Remove(hashes ...[20]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range hashes {
		d.table.remove(h)
	}
}

// Heard says whether a neighbour at this address has announced the torrent lately.
func (d *Discovery) Heard(infoHash [20]byte, peer netip.AddrPort) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.table.has(infoHash, peer, time.Now())
}

// What some network has not taken is sent again after retry, so many times in a row: an address of
// IPv6, or a network, is of no use in its first second.
const (
	retry      = 2 * time.Second
	maxRetries = 5
)

// refresh is how often it is looked which networks there are.
const refresh = 30 * time.Second

// Run works until ctx is done, and returns once everything it started has stopped. Where there is
// no network, or none that is wanted, it only waits for one.
func (d *Discovery) Run(ctx context.Context) error {
	if d.cfg.Bound.IsLoopback() && !d.cfg.Loopback {
		<-ctx.Done()
		return nil
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	var groups []*group
	for _, open := range []func() (*group, error){d.openV4, d.openV6} {
		g, err := open()
		if err != nil { // such as a system without IPv6
			d.cfg.Log.Debug("no discovery on the LAN by one family", "err", err)
			continue
		}
		groups = append(groups, g)
		defer g.close()
		wg.Go(func() { d.hear(ctx, g) })
	}
	looked := time.Time{}
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
			// What is added with it, such as the contents of an origin, goes into one datagram.
			if !sleep(ctx, 20*time.Millisecond) {
				return nil
			}
		case <-wait.C:
		}
		if time.Since(looked) > refresh {
			looked = time.Now()
			for _, g := range groups {
				if g.join(d.interfaces(g.addr.Addr())) { // nobody there has heard of us
					d.mu.Lock()
					d.table.hasten(looked)
					d.mu.Unlock()
				}
			}
		}
		wait.Reset(d.announce(groups))
	}
}

// announce sends what is due, and says when to come back.
func (d *Discovery) announce(groups []*group) time.Duration {
	now := time.Now()
	d.mu.Lock()
	_, next := d.table.due(now, 0)
	d.mu.Unlock()
	if d.cfg.Port == 0 || len(groups) == 0 {
		return refresh
	}
	for !next.After(now) {
		if !d.sent.AllowN(now, 1) {
			return time.Second
		}
		d.mu.Lock()
		var hashes [][20]byte
		hashes, next = d.table.due(now, maxHashes)
		d.mu.Unlock()
		if len(hashes) == 0 {
			break
		}
		m := message{Port: d.cfg.Port, Hashes: hashes, Cookie: d.cookie}
		failed := false
		for _, g := range groups {
			failed = !g.announce(m, d.cfg.Log) || failed
		}
		if !failed {
			d.failures = 0
		} else if d.failures++; d.failures <= maxRetries {
			d.mu.Lock()
			d.table.delay(hashes, now.Add(retry))
			d.mu.Unlock()
			return retry
		}
	}
	return max(min(next.Sub(now), refresh), 0)
}

// hear takes announcements from one socket until it is closed.
func (d *Discovery) hear(ctx context.Context, g *group) {
	stop := context.AfterFunc(ctx, g.close)
	defer stop()
	b := make([]byte, maxDatagram+1)
	for {
		n, alone, from, err := g.receive(b)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			d.cfg.Log.Debug("hearing neighbours", "err", err)
			if !sleep(ctx, time.Second) {
				return
			}
			continue
		}
		if from.IsValid() && d.read.Allow() {
			d.took(g, b[:n], alone, from)
		}
	}
}

// took takes a datagram from a neighbour; alone says that it was sent to us alone: an answer.
func (d *Discovery) took(g *group, b []byte, alone bool, from netip.AddrPort) {
	m, err := parse(b)
	if err != nil || m.Cookie == d.cookie {
		return
	}
	d.mu.Lock()
	common, fresh := d.table.took(m, from.Addr(), time.Now())
	d.mu.Unlock()
	if d.cfg.Found != nil {
		for _, h := range common {
			d.cfg.Found(h, netip.AddrPortFrom(from.Addr(), uint16(m.Port)), alone)
		}
	}
	// It is told of us: our own announcement may have been before its time. To its own address, which
	// other clients hear as well as the group's, and no longer than what it sent.
	if len(fresh) > 0 && !alone && d.cfg.Port != 0 && d.answer.Allow() {
		g.answer(message{Port: d.cfg.Port, Hashes: fresh, Cookie: d.cookie}, from.Addr(), d.cfg.Log)
	}
}

// interfaces are those to use for a group, with their networks.
func (d *Discovery) interfaces(group netip.Addr) (l []link) {
	if b := d.cfg.Bound.Unmap(); b.IsValid() && b != netip.IPv6Unspecified() && b.Is4() != group.Is4() {
		return nil // the port is not to be reached by this family
	}
	all, _ := net.Interfaces() // none known: none used
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 && i.Flags&net.FlagLoopback == 0 || i.Flags&net.FlagLoopback != 0 && !d.cfg.Loopback {
			continue
		}
		x := link{Interface: i}
		addrs, _ := i.Addrs()
		wanted, family := !d.cfg.Bound.IsValid() || d.cfg.Bound.IsUnspecified(), false
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				ip, _ := netip.AddrFromSlice(n.IP)
				ones, _ := n.Mask.Size()
				if p, err := ip.Unmap().Prefix(ones); err == nil {
					x.networks = append(x.networks, p)
				}
				family = family || ip.Unmap().Is4() == group.Is4()
				wanted = wanted || ip.Unmap() == d.cfg.Bound.Unmap().WithZone("")
			}
		}
		if wanted && family {
			l = append(l, x)
		}
	}
	return l
}

// link is an interface and the networks that it is attached to.
type link struct {
	net.Interface
	networks []netip.Prefix
}

// attached says whether an address is on one of the interface's own networks.
func (l *link) attached(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range l.networks {
		if n.Contains(a) {
			return true
		}
	}
	return a.IsLinkLocalUnicast()
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
