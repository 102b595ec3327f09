package swarm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"shoal/piece"
	"shoal/swarm/announce"
	"shoal/swarm/wire"
)

// Transfer is one torrent of a node. Its methods are safe for concurrent use.
type Transfer struct {
	node   *Node
	spec   Spec
	id     atomic.Pointer[infoHashes]     // a magnet learns the other half of a hybrid
	entry  atomic.Pointer[announce.Entry] // a peer may come before it is there
	known  chan struct{}                  // closed when the metadata is known
	done   chan struct{}                  // closed when everything wanted is verified and in place, or when it failed
	ended  chan struct{}                  // closed by Close
	closed sync.Once

	mu        sync.Mutex
	sess      *session
	last      *session // sess, or the one before; it may still be closing its files
	torrent   *piece.Torrent
	err       error
	over      bool // done is closed
	gone      bool // Close was called, or the content is not what it was
	webErr    error
	peerErr   map[string]error // by HOST:PORT, of peers that the user named
	evicted   map[int]struct{} // pieces that were given up; may be nil
	described []time.Time      // when the description was last given over HTTP to who could have asked peers

	referrals referrals

	note        atomic.Pointer[[]byte] // what peers are told
	stopFinding func()                 // nil: nobody looks

	counts counts
}

// Add starts to fetch or seed. Torrents are told apart by info hash; adding one twice is an error.
func (n *Node) Add(spec Spec) (*Transfer, error) {
	t := &Transfer{node: n, spec: spec}
	id := infoHashes{v1: spec.V1, v2: spec.V2, hasV1: spec.HasV1, hasV2: spec.HasV2, alias: spec.Alias, hasAlias: spec.Alias != piece.Hash20{}}
	if x := spec.Torrent; x != nil {
		id = infoHashes{v1: x.V1, v2: x.V2, hasV1: x.HasV1, hasV2: x.HasV2}
		id.alias, id.hasAlias = x.AliasV1()
		t.spec.Private = x.Private
	}
	t.id.Store(&id)
	t.SetNote(spec.Note)
	if !id.hasV1 && !id.hasV2 || (spec.Dir == "") == (spec.Content == "") {
		return nil, errors.New("a transfer needs an info hash and one place for its content")
	}
	t.known, t.done, t.ended = make(chan struct{}), make(chan struct{}), make(chan struct{})
	n.mu.Lock()
	for _, h := range t.hashes() {
		if n.transfers[h] != nil {
			n.mu.Unlock()
			return nil, fmt.Errorf("torrent %x is here already", h)
		}
	}
	for _, h := range t.hashes() {
		n.register(h, t)
	}
	n.mu.Unlock()
	if spec.Torrent != nil {
		t.learn(spec.Torrent)
	}
	if spec.Content != "" {
		t.finish(nil)
	}
	if len(spec.Trackers) > 0 && n.cfg.Upload != UploadOff {
		t.entry.Store(n.announcer.Add(announce.Job{InfoHashes: t.hashes(), Crowd: spec.Crowd, Tiers: spec.Trackers, State: t.announceState, Found: t.found}))
	}
	t.announceLAN()
	t.find()
	if spec.Content == "" || len(spec.Peers) > 0 {
		if _, err := t.session(); err != nil {
			t.Close()
			return nil, err
		}
	}
	return t, nil
}

// infoHashes are the names of a torrent that are known.
type infoHashes struct {
	v1           piece.Hash20
	v2           piece.Hash32
	hasV1, hasV2 bool
	// What aria2 takes a hybrid for: see piece.Info.AliasV1.
	alias    piece.Hash20
	hasAlias bool
}

// v2OnWire says whether h is the v2 name as it goes on the wire.
func (id *infoHashes) v2OnWire(h [20]byte) bool { return id.hasV2 && h == [20]byte(id.v2[:20]) }

// hashes are the 20-byte info hashes under which the torrent goes on the wire and at trackers.
func (t *Transfer) hashes() (h [][20]byte) {
	id := t.id.Load()
	if id.hasV1 {
		h = append(h, id.v1)
	}
	if id.hasV2 {
		h = append(h, [20]byte(id.v2[:20]))
	}
	if id.hasAlias {
		h = append(h, id.alias)
	}
	return h
}

// handshake is how we open or answer a connection (BEP 3, 6, 10, 52).
func (t *Transfer) handshake(peer [20]byte) wire.Handshake {
	return t.handshakeAs(peer, 0)
}

// handshakeAs opens a connection by one of the torrent's names: who did not know it by the first
// may know it by another.
func (t *Transfer) handshakeAs(peer [20]byte, try int) wire.Handshake {
	id, names := t.id.Load(), t.hashes()
	name := names[try%len(names)]
	return wire.Handshake{Fast: true, Extended: true, DHT: t.node.Finds() && !t.private(), V2: id.hasV2 && !(id.hasAlias && name == id.alias), PeerID: peer, InfoHash: name}
}

// session returns the running event loop, starting it if the torrent was idle.
func (t *Transfer) session() (*session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return nil, errClosed
	}
	if t.over && t.err != nil { // a fetch that failed does not begin again by itself
		return nil, t.err
	}
	if t.sess != nil {
		return t.sess, nil
	}
	if t.torrent == nil && t.spec.Load != nil {
		x, err := t.spec.Load()
		if err != nil {
			return nil, err
		}
		t.torrent = x
	}
	s := newSession(t, t.torrent)
	if !t.node.spawn(s) {
		return nil, errClosed
	}
	t.sess, t.last = s, s
	return s, nil
}

var (
	errClosed = errors.New("closed")
	errSelf   = errors.New("connected to ourselves")
)

// asleep is called by a session that ends.
func (t *Transfer) asleep(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sess == s {
		t.sess = nil
		if t.spec.Load != nil {
			t.torrent = nil
		}
	}
}

// forget is called when all of a session has ended.
func (t *Transfer) forget(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == s {
		t.last = nil
	}
}

func (t *Transfer) learn(x *piece.Torrent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.torrent = x
	select {
	case <-t.known:
	default:
		close(t.known)
	}
}

// finish ends the fetching half of the transfer's life. The first call counts.
func (t *Transfer) finish(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	t.over, t.err = true, err
	close(t.done)
	if e := t.entry.Load(); e != nil && err == nil && t.spec.Content == "" {
		e.Completed()
	}
}

// Known is closed when the metadata is known: at once but for magnets.
func (t *Transfer) Known() <-chan struct{} { return t.known }

// Described is how many bytes of a magnet's metadata have come from peers, right or wrong, and whether all of it is
// here, which is so before it is [Transfer.Known].
func (t *Transfer) Described() (bytes int64, all bool) {
	return t.counts.described.Load(), t.counts.named.Load()
}

// Torrent is the metadata, nil while it is not known.
func (t *Transfer) Torrent() *piece.Torrent {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.torrent
}

// Done is closed when all that was wanted is verified and in place, or when the transfer failed.
func (t *Transfer) Done() <-chan struct{} { return t.done }

// Err says why a transfer that is done failed; nil if it did not.
func (t *Transfer) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Wait waits until the transfer is done.
func (t *Transfer) Wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *Transfer) webError(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.webErr = err
}

// WebSeedErr is the last thing that went wrong with a web seed.
func (t *Transfer) WebSeedErr() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.webErr
}

// Trackers says how the trackers answered.
func (t *Transfer) Trackers() []announce.TrackerStatus {
	e := t.entry.Load()
	if e == nil {
		return nil
	}
	return e.Status()
}

// AddPeers adds addresses to dial.
func (t *Transfer) AddPeers(peers ...string) {
	if s, err := t.session(); err == nil {
		s.do(func() { s.addPinned(peers) })
	}
}

// Close leaves the swarm and waits until the transfer's files are closed.
func (t *Transfer) Close() error {
	t.closed.Do(func() {
		t.finish(errClosed)
		t.mu.Lock()
		t.gone = true
		s := t.last
		t.mu.Unlock()
		close(t.ended)
		t.leaveLAN()
		t.leaveFinder()
		if e := t.entry.Load(); e != nil {
			e.Close()
		}
		n := t.node
		n.mu.Lock()
		for _, h := range t.hashes() {
			n.unregister(h)
		}
		n.mu.Unlock()
		if s != nil && !n.unspawn(s) {
			<-s.closed
		}
	})
	return nil
}

// announceState is what trackers are told.
func (t *Transfer) announceState() announce.State {
	c := &t.counts
	st := announce.State{Left: c.wanted.Load() - c.have.Load()}
	for i := range c.from {
		if Class(i) != Reuse {
			st.Downloaded += c.from[i].Load()
		}
		st.Uploaded += c.to[i].Load()
	}
	if t.spec.Content != "" {
		st.Left = 0
		st.Idle = c.peers.Load() == 0
		return st
	}
	if !c.prepared.Load() {
		st.Left = 1 << 20 // not known yet: anything but a seed
	}
	st.Hungry = st.Left > 0 && c.peers.Load() < 8
	if x := t.Torrent(); x != nil && c.wanted.Load() < x.Length { // BEP 21: a part was selected
		st.Paused = st.Left == 0
		st.Left += x.Length - c.wanted.Load()
	}
	return st
}

// found takes peers from a tracker.
func (t *Transfer) found(_ string, peers []announce.Peer) {
	addrs := make([]netip.AddrPort, len(peers))
	for i, p := range peers {
		addrs[i] = p.Addr
	}
	t.heard(addrs)
}
