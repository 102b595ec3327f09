package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"shoal/internal/schedule"
	"shoal/internal/units"
	"shoal/swarm"
)

// Limits are the bounds that a user sets, and may change while the node runs. The zero value sets none.
type Limits struct {
	Up, Down, LAN schedule.Rates
	MinRate       int64   // see swarm.Limits; as text 0 is none
	OriginBudget  float64 // copies of each content a day; 0: any number
	MaxPeers      int     // connections of one torrent; 0: as many as suit the role
}

// LimitNames are the names of all limits, which are the flags' too.
func LimitNames() []string {
	return []string{"limit-up", "limit-down", "limit-lan", "min-rate", "origin-budget", "max-peers"}
}

// Set changes one limit, by its name, to what a user has written; "" is the default.
func (l *Limits) Set(name, text string) (err error) {
	text = cmp.Or(strings.TrimSpace(text), "0")
	switch name {
	case "limit-up":
		l.Up, err = schedule.ParseRates(text)
	case "limit-down":
		l.Down, err = schedule.ParseRates(text)
	case "limit-lan":
		l.LAN, err = schedule.ParseRates(text)
	case "min-rate":
		l.MinRate, err = units.ParseRate(text)
	case "origin-budget":
		l.OriginBudget, err = ParseCopies(text)
	case "max-peers":
		l.MaxPeers, err = ParsePeers(text)
	default:
		return fmt.Errorf("there is no limit %q", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Get is a limit as Set reads it; "0" is none.
func (l *Limits) Get(name string) string {
	switch name {
	case "limit-up":
		return cmp.Or(l.Up.String(), "0")
	case "limit-down":
		return cmp.Or(l.Down.String(), "0")
	case "limit-lan":
		return cmp.Or(l.LAN.String(), "0")
	case "min-rate":
		return units.Format(l.MinRate)
	case "origin-budget":
		return strconv.FormatFloat(l.OriginBudget, 'g', -1, 64)
	case "max-peers":
		return strconv.Itoa(l.MaxPeers)
	}
	return ""
}

// ParseCopies reads a number of copies, which need not be whole.
func ParseCopies(s string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(n >= 0 && n <= maxCopies) {
		return 0, fmt.Errorf("%q is not a number of copies, such as 1.1", s)
	}
	return n, nil
}

// maxCopies is more than anybody means.
const maxCopies = 1e9

// ParsePeers reads a number of connections.
func ParsePeers(s string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	if err != nil || n > maxPeers {
		return 0, fmt.Errorf("%q is not a number of connections, from 0 to %d", s, maxPeers)
	}
	return int(n), nil
}

// maxPeers is more than any machine can have.
const maxPeers = 1_000_000

// at are the limits in force at a time.
func (l *Limits) at(now time.Time) swarm.Limits {
	rate := func(r schedule.Rates) int64 {
		n, _ := r.At(now) // without a rate for this hour there is no limit
		return n
	}
	return swarm.Limits{Up: rate(l.Up), Down: rate(l.Down), LAN: rate(l.LAN), MinRate: l.MinRate, MaxPeers: l.MaxPeers}
}

// next is when other rates hold; zero: never.
func (l *Limits) next(now time.Time) (first time.Time) {
	for _, r := range []schedule.Rates{l.Up, l.Down, l.LAN} {
		if t, ok := r.Next(now); ok && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// Who goes by the limits that others do not.
const (
	whoFetches = "get, update and edge do"
	whoRations = "serve and seed do"
	whoMoves   = "a tracker moves no content"
)

// lacks are the limits that nothing of a server goes by.
func (s *Server) lacks() map[string]string {
	switch {
	case s.role() == "tracker":
		all := map[string]string{}
		for _, name := range LimitNames() {
			all[name] = whoMoves
		}
		return all
	case s.cfg.Edge != nil:
		return map[string]string{"origin-budget": whoRations}
	}
	return map[string]string{"min-rate": whoFetches}
}

// bounds hold a node to the limits that its user has set, by the time of day.
type bounds struct {
	node    *swarm.Node
	budget  func(copies float64) // may be nil
	lacks   map[string]string    // limits that nothing of this node goes by, and which have them
	peers   int                  // connections of one torrent that suit the role
	log     *slog.Logger
	changed chan struct{}

	mu  sync.Mutex
	set Limits
}

func newBounds(set Limits, node *swarm.Node, budget func(float64), lacks map[string]string, log *slog.Logger) *bounds {
	set.MaxPeers = cmp.Or(set.MaxPeers, node.Limits().MaxPeers)
	b := &bounds{node: node, budget: budget, lacks: lacks, peers: node.Limits().MaxPeers, log: log, changed: make(chan struct{}, 1), set: set}
	b.apply(time.Now())
	return b
}

// limits are those that are set.
func (b *bounds) limits() Limits {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.set
}

// change changes limits, all of them or, if one cannot be read, none. It logs what is different now.
func (b *bounds) change(texts map[string]string) error {
	names := slices.Sorted(maps.Keys(texts))
	for _, name := range names {
		if who := b.lacks[name]; who != "" {
			return fmt.Errorf("--%s: what runs here goes by no such limit, %s", name, who)
		}
	}
	b.mu.Lock()
	set := b.set
	var news []any
	for _, name := range names {
		was := set.Get(name)
		if err := set.Set(name, texts[name]); err != nil {
			b.mu.Unlock()
			return err
		}
		set.MaxPeers = cmp.Or(set.MaxPeers, b.peers) // what is told is what is in force
		if is := set.Get(name); is != was {
			news = append(news, slog.Group(name, "from", was, "to", is))
		}
	}
	b.set = set
	b.mu.Unlock()
	if len(news) > 0 {
		b.log.Info("limits changed", news...)
	}
	b.apply(time.Now())
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return nil
}

func (b *bounds) apply(now time.Time) (next time.Time) {
	b.mu.Lock() // held on, so that what was set last is applied last
	defer b.mu.Unlock()
	b.node.SetLimits(b.set.at(now))
	if b.budget != nil {
		b.budget(b.set.OriginBudget)
	}
	return b.set.next(now)
}

// lookTime is how often the clock on the wall is looked at while rates go by it: it may be set.
const lookTime = time.Minute

// follow applies what holds at each time until ctx is done.
func (b *bounds) follow(ctx context.Context) error {
	timer := time.NewTimer(lookTime)
	defer timer.Stop()
	for {
		if next := b.apply(time.Now()); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(min(lookTime, max(time.Until(next), 0)))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-b.changed:
		}
	}
}
