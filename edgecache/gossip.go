package edgecache

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// Cluster says how edges find each other. The zero value is an edge alone.
type Cluster struct {
	// Name is the edge's, Zone where it stands, and Port that of its one port.
	Name, Zone string
	Port       int
	// TLS says that the port speaks that as well, and PublicURL how clients reach it, if not by its address.
	TLS       bool
	PublicURL string
	// Gossip is where it speaks with the others, HOST:PORT; empty: there are no others.
	Gossip string
	// Join are others to begin with, HOST:PORT of their gossip.
	Join []string
	// Key is shared by all: what they say is encrypted with it.
	Key string
	// Replicas is how many edges keep a release. Zero means 2.
	Replicas int
}

const (
	defaultReplicas = 2
	// rejoinTime is how often edges are looked for that are not there: the other half of a cluster that was split.
	rejoinTime = 5 * time.Second
	// restTime is how long members must not have changed before somebody acts on who they are, and findTime how long an edge that has just begun looks for
	// others before it takes itself for alone.
	restTime = time.Second
	findTime = 5 * time.Second
	// spreadHeat is how many requests there must have been for a release, in a half-life, that an edge keeps it beside its owners.
	spreadHeat = 3
	// maxVersions is how many repositories' versions fit into what members say of themselves.
	maxVersions = 8
)

// ring is what an edge knows of its cluster.
type ring struct {
	cfg      Cluster
	followed func(key string) bool // whether a content is to be shared out
	nudge    func()
	log      *slog.Logger
	asker    asker
	updating sync.Mutex // memberlist's UpdateNode reads what another one writes

	mu       sync.Mutex
	list     *memberlist.Memberlist // nil before run
	begun    time.Time
	moved    time.Time                 // when members changed last
	members  []Member                  // with this edge, by name
	says     map[string]meta           // what they said last, by name
	places   map[string]netip.AddrPort // where they gossip, by name
	mine     meta
	watchers []chan struct{}
	orphans  map[string]time.Time // contents of whose keepers none has answered, and since when
	keys     []string             // that are followed, sorted
	all      map[string][]Member
	drained  atomic.Bool
	left     *Lack     // what is not taken over yet, while it drains
	full     *Lack     // of that, what has no room where it is to be
	onlyHere *Lack     // what was pinned here and not taken over, once drained
	stranger sync.Once // tells of somebody with another key
}

// meta is what members say of themselves, as JSON within memberlist.MetaMaxSize.
type meta struct {
	Port     int              `json:"p"`
	Zone     string           `json:"z,omitempty"`
	Draining bool             `json:"d,omitempty"`
	Pulls    bool             `json:"u,omitempty"` // what is asked for and not followed
	Follows  string           `json:"a,omitempty"`
	TLS      bool             `json:"t,omitempty"`
	URL      string           `json:"h,omitempty"`
	Versions map[string]int64 `json:"v,omitempty"` // of repositories' timestamps, by the begin of their ids
}

// newRing is nil for an edge alone. apps are the patterns of those that this edge follows, followed says whether a content is one of theirs, and pulls that the
// edge fetches what is asked for beside.
func newRing(c Cluster, apps []string, followed func(key string) bool, pulls bool, nudge func(), log *slog.Logger) (*ring, error) {
	if c.Gossip == "" {
		return nil, nil
	}
	if c.Key == "" {
		return nil, errors.New("a cluster needs a key: without one anybody could join")
	}
	if len(c.Zone) > 64 {
		return nil, errors.New("the name of a zone has 64 characters at most")
	}
	if len(c.PublicURL) > 128 {
		return nil, errors.New("the public URL of an edge has 128 characters at most")
	}
	if c.Replicas == 0 {
		c.Replicas = defaultReplicas
	}
	follows := ""
	if len(apps) > 0 {
		follows = score12(strings.Join(slices.Compact(slices.Sorted(slices.Values(apps))), "\n"))
	}
	r := &ring{cfg: c, followed: followed, nudge: nudge, log: log, asker: newAsker(), says: map[string]meta{}, places: map[string]netip.AddrPort{}, orphans: map[string]time.Time{}, mine: meta{Port: c.Port, Zone: c.Zone, Pulls: pulls, Follows: follows, TLS: c.TLS, URL: c.PublicURL}}
	r.members = []Member{{Name: c.Name, Zone: c.Zone, Follows: follows, PullThrough: pulls}}
	return r, nil
}

// run takes part in the cluster until ctx is done.
func (r *ring) run(ctx context.Context) error {
	host, port, err := net.SplitHostPort(r.cfg.Gossip)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	key := sha256.Sum256([]byte("shoal cluster\x00" + r.cfg.Key))
	c := memberlist.DefaultLANConfig()
	c.Name, c.BindAddr, c.BindPort, c.AdvertisePort, c.SecretKey = r.cfg.Name, host, number, number, key[:]
	if host == "" {
		c.BindAddr = "0.0.0.0"
	}
	c.Delegate, c.Events = delegate{r}, events{r}
	c.Logger = log.New(gossipLog{r}, "", 0)
	c.DeadNodeReclaimTime = time.Second // an edge that comes back from another address is the same
	list, err := memberlist.Create(c)
	if err != nil {
		return fmt.Errorf("gossip at %s: %w", r.cfg.Gossip, err)
	}
	r.mu.Lock()
	r.list, r.begun = list, time.Now()
	r.mu.Unlock()
	r.update() // what was said while it came up
	tick := time.NewTicker(rejoinTime)
	defer tick.Stop()
	told := map[string]bool{}
	for {
		r.rejoin(list, told)
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		list.Leave(time.Second) // a member that says nothing is found out, only later
		return list.Shutdown()
	}
}

// delegate tells others of this edge.
type delegate struct{ r *ring }

func (d delegate) NodeMeta(limit int) []byte {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	b, err := json.Marshal(d.r.mine)
	if err != nil || len(b) > limit {
		m := d.r.mine
		m.Versions = nil
		b, _ = json.Marshal(m)
	}
	return b
}

func (d delegate) NotifyMsg([]byte)                {}
func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d delegate) LocalState(bool) []byte          { return nil }
func (d delegate) MergeRemoteState([]byte, bool)   {}

// events hears of all members, of this edge itself as well. It is called under memberlist's lock, and a member may be read under that alone: it changes in place.
type events struct{ r *ring }

func (e events) NotifyJoin(n *memberlist.Node)   { e.told(n, true) }
func (e events) NotifyUpdate(n *memberlist.Node) { e.told(n, true) }
func (e events) NotifyLeave(n *memberlist.Node)  { e.told(n, false) }

func (e events) told(n *memberlist.Node, there bool) {
	var m meta
	if there && json.Unmarshal(n.Meta, &m) != nil {
		return
	}
	addr, ok := netip.AddrFromSlice(n.Addr)
	if !ok {
		return
	}
	at := netip.AddrPortFrom(addr.Unmap(), n.Port)
	before, now := e.r.heard(n.Name, at, m, there)
	switch {
	case n.Name == e.r.cfg.Name || before == now || !slices.ContainsFunc(e.r.everybody(), e.r.isSelf): // it is this one that goes
	case there:
		e.r.log.Info("an edge has joined the cluster", "edge", n.Name, "zone", m.Zone, "gossip", at, "members", now)
	default: // memberlist does not say whether it has said good-bye
		e.r.log.Info("an edge is gone from the cluster", "edge", n.Name, "members", now)
	}
}

// heard takes what a member, who gossips at a place, says of itself, or that it is gone. It returns how many members there were, and are.
func (r *ring) heard(name string, at netip.AddrPort, m meta, there bool) (before, now int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before = len(r.members)
	r.members = slices.DeleteFunc(slices.Clone(r.members), func(o Member) bool { return o.Name == name })
	if there {
		r.members = append(r.members, Member{Name: name, Zone: m.Zone, Addr: netip.AddrPortFrom(at.Addr(), uint16(m.Port)).String(), Draining: m.Draining, TLS: m.TLS, URL: m.URL, Follows: m.Follows, PullThrough: m.Pulls})
		r.says[name], r.places[name] = m, at
	} else {
		delete(r.says, name)
		delete(r.places, name)
	}
	slices.SortFunc(r.members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	r.all, r.moved = nil, time.Now()
	for id, v := range m.Versions {
		if v > r.mine.Versions[id] {
			r.wake()
		}
	}
	r.nudge()
	return before, len(r.members)
}

// wake has origins asked: somebody knows of something newer. r.mu is held.
func (r *ring) wake() {
	for _, w := range r.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// watch is told when somebody knows of something newer.
func (r *ring) watch() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := make(chan struct{}, 1)
	r.watchers = append(r.watchers, w)
	return w
}

// tell tells the others how new a repository is here.
func (r *ring) tell(id string, version int64) {
	r.mu.Lock()
	if r.mine.Versions == nil {
		r.mine.Versions = map[string]int64{}
	}
	id = id[:min(len(id), 8)]
	if r.mine.Versions[id] == 0 && len(r.mine.Versions) >= maxVersions {
		r.mu.Unlock()
		return
	}
	versions := maps.Clone(r.mine.Versions)
	versions[id] = version
	r.mine.Versions = versions
	r.mu.Unlock()
	r.update()
}

// update has what this edge says of itself go round.
func (r *ring) update() {
	r.mu.Lock()
	list := r.list
	r.mu.Unlock()
	if list == nil {
		return
	}
	r.updating.Lock()
	defer r.updating.Unlock()
	if err := list.UpdateNode(askTime); err != nil {
		r.log.Debug("gossip", "err", err)
	}
}

// drain has the others take over what this edge keeps; false: they do that already.
func (r *ring) drain() bool {
	r.mu.Lock()
	before := r.mine.Draining
	r.mine.Draining = true
	r.mu.Unlock()
	if !before {
		r.update()
	}
	return !before
}

// leave ends the part in the cluster, once everything was taken over.
func (r *ring) leave() {
	if r.drained.Swap(true) {
		return
	}
	r.mu.Lock()
	list := r.list
	r.mu.Unlock()
	if err := list.Leave(askTime); err != nil {
		r.log.Warn("leaving the cluster", "err", err)
	}
}

// peers are the other members, those with the newest state of a repository first; an empty id: in any order.
func (r *ring) peers(id string) (list []Member) {
	id = id[:min(len(id), 8)]
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m.Name != r.cfg.Name {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b Member) int {
		return int(r.says[b.Name].Versions[id] - r.says[a.Name].Versions[id])
	})
	return list
}

// everybody are all members.
func (r *ring) everybody() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.members)
}

// alike are those that follow what this one does.
func (r *ring) alike() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.followers()
}

// assign decides who keeps what is followed, and returns this edge's part. ok is false while it is still coming out who there is: edges that begin together
// must not each get everything from the origin.
func (r *ring) assign(keys []string, now time.Time) (mine map[string]bool, ok bool) {
	slices.Sort(keys)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(keys, r.keys) {
		r.keys, r.all = keys, nil
	}
	if r.list == nil || now.Sub(r.moved) < restTime || len(r.members) < 2 && len(r.cfg.Join) > 0 && now.Sub(r.begun) < findTime {
		return nil, false
	}
	if r.all == nil {
		if r.all = owners(keys, r.followers(), r.cfg.Replicas); r.all == nil {
			r.all = map[string][]Member{}
		}
	}
	mine = map[string]bool{}
	for key, own := range r.all {
		if slices.ContainsFunc(own, r.isSelf) {
			mine[key] = true
		}
	}
	return mine, true
}

func (r *ring) isSelf(m Member) bool { return m.Name == r.cfg.Name }

// followers are the members that follow what this one does. r.mu is held.
func (r *ring) followers() []Member {
	return slices.DeleteFunc(slices.Clone(r.members), func(m Member) bool { return m.Follows != r.mine.Follows })
}

// of are the owners of a content: of one that is not followed, among those that fetch such, and none if there are none.
func (r *ring) of(key string) []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	if own := r.all[key]; own != nil {
		return own
	}
	members := r.followers()
	if !r.followed(key) { // if it is, it was not shared out yet
		members = slices.DeleteFunc(slices.Clone(r.members), func(m Member) bool { return !m.PullThrough })
	}
	return owners([]string{key}, members, r.cfg.Replicas)[key]
}

// keeps says whether a content that was asked for is to be kept here: by its owners, and where it is hot.
func (r *ring) keeps(key string, heat float64) bool {
	return heat >= spreadHeat || slices.ContainsFunc(r.of(key), r.isSelf)
}
