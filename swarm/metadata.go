package swarm

import (
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// A magnet's info dict comes from peers (BEP 9). A peer is asked for all of it: a liar spoils nobody's copy but his own.
// Those of our kind say so when they have others to give it to, and one is asked, and one more each metaStall; of others
// a few are at once. The first copy with the right hash wins.
const (
	metaPeers = 3
	metaBytes = 24 << 20 // what all of them together may send
	// metaStall is how long a peer may send none of what it was asked for, before others are
	// asked as well, and metaTime before it is given up for a while.
	metaStall = time.Second
	metaPace  = 200 * time.Millisecond // for each piece more
	metaTime  = 15 * time.Second
)

type metaFetch struct {
	parts [][]byte // nil until received
	left  int
	size  int
	begun time.Time
	moved time.Time
}

func (s *session) tickMetadata(now time.Time) {
	if s.torrent != nil || s.failed != nil {
		return
	}
	active, bytes, most := 0, 0, 1
	for c, f := range s.metas {
		most = max(most, 1+int(now.Sub(f.begun)/metaStall))
		switch idle := now.Sub(f.moved); {
		case idle > metaTime:
			delete(s.metas, c)
			c.metadataAfter = now.Add(metaTime)
			continue
		case idle < metaStall && now.Sub(f.begun) < metaStall+time.Duration(len(f.parts)-f.left)*metaPace:
			active++
			bytes += f.size
		default:
			bytes += f.size - f.left*wire.MetadataPiece
		}
	}
	for _, c := range s.describers(now) {
		if active >= metaPeers {
			return
		}
		if active >= most && c.shoal || bytes > 0 && bytes+c.metadataSize > metaBytes {
			continue
		}
		n := (c.metadataSize + wire.MetadataPiece - 1) / wire.MetadataPiece
		s.metas[c] = &metaFetch{parts: make([][]byte, n), left: n, size: c.metadataSize, begun: now, moved: now}
		active++
		bytes += c.metadataSize
		c.metadataOwed += n
		for i := range n {
			c.out.put(func(b []byte) []byte {
				return wire.Metadata{Kind: wire.MetadataRequest, Piece: i}.Append(b, c.theirMetadata)
			})
		}
	}
}

// metadata takes a ut_metadata message.
func (s *session) metadata(c *conn, m wire.Metadata) error {
	switch m.Kind {
	case wire.MetadataRequest:
		return s.serveMetadata(c, m.Piece)
	case wire.MetadataReject:
		return s.metadataRejected(c)
	case wire.MetadataData:
	default:
		return nil // BEP 9: unknown kinds are for later
	}
	if c.metadataOwed == 0 {
		return c.uselessBytes(len(m.Data), "metadata that was not asked for")
	}
	c.metadataOwed--
	f := s.metas[c]
	if s.torrent != nil || f == nil { // somebody else was faster
		return nil
	}
	if m.Piece >= len(f.parts) || f.parts[m.Piece] != nil {
		return errors.New("metadata that was not asked for")
	}
	if len(m.Data) != min(wire.MetadataPiece, f.size-m.Piece*wire.MetadataPiece) {
		return errors.New("metadata piece of a wrong length")
	}
	f.parts[m.Piece], f.moved = m.Data, s.now()
	s.t.counts.described.Add(int64(len(m.Data)))
	if f.left--; f.left > 0 {
		return nil
	}
	delete(s.metas, c)
	data := slices.Concat(f.parts...)
	t, id := s.t, s.t.id.Load()
	okV1 := id.hasV1 && sha1.Sum(data) == id.v1
	okV2 := id.hasV2 && sha256.Sum256(data) == id.v2
	switch {
	case !okV1 && !okV2:
		s.book.ban(c, s.now())
		return errors.New("metadata does not match the info hash")
	case okV1 != id.hasV1 || okV2 != id.hasV2: // no metadata can have both: the magnet is at fault
		s.fail(fmt.Errorf("%w: its two info hashes name different torrents", ErrInconsistent))
		return nil
	}
	info, err := piece.ParseInfo(data)
	if err != nil { // the hash is right: nobody has a better one
		s.fail(err)
		return nil
	}
	s.log.Debug("metadata is here", "bytes", len(data), "name", info.Name)
	s.torrent = &piece.Torrent{Info: info, Trackers: t.spec.Trackers, WebSeeds: t.spec.WebSeeds}
	t.alsoKnownAs(info)
	if info.Private { // a magnet cannot say so
		t.leaveLAN()
		t.leaveFinder()
	} else {
		t.announceLAN()
	}
	for _, o := range s.conns {
		// Others end a connection on which hashes are asked for if it was not agreed to be of v2.
		o.v2 = o.v2 || info.HasV2 && o.bit52 && o.shoal
	}
	s.learned = true
	t.counts.named.Store(true)
	s.tellDescribed()
	return nil
}

// serveMetadata sends a piece of the info dict.
func (s *session) serveMetadata(c *conn, i int) error {
	if c.theirMetadata == 0 {
		return nil
	}
	m := wire.Metadata{Kind: wire.MetadataReject, Piece: i}
	if s.torrent != nil && i*wire.MetadataPiece < len(s.torrent.Bytes) && c.metadataServed < 4*(1+len(s.torrent.Bytes)/wire.MetadataPiece) && s.mayDescribe(c, s.now()) {
		c.metadataServed++
		b := s.torrent.Bytes[i*wire.MetadataPiece:]
		m = wire.Metadata{Kind: wire.MetadataData, Piece: i, Total: len(s.torrent.Bytes), Data: b[:min(len(b), wire.MetadataPiece)]}
	}
	id := c.theirMetadata
	c.out.later(func(b []byte) []byte { return m.Append(b, id) })
	return nil
}

// alsoKnownAs registers the other info hash of a hybrid that a magnet named by one.
func (t *Transfer) alsoKnownAs(info *piece.Info) {
	n := t.node
	n.mu.Lock()
	defer n.mu.Unlock()
	id := *t.id.Load()
	if info.HasV1 && !id.hasV1 && n.transfers[info.V1] == nil {
		id.v1, id.hasV1 = info.V1, true
	}
	if h := [20]byte(info.V2[:20]); info.HasV2 && !id.hasV2 && n.transfers[h] == nil {
		id.v2, id.hasV2 = info.V2, true
	}
	if a, ok := info.AliasV1(); ok && n.transfers[a] == nil {
		id.alias, id.hasAlias = a, true
	}
	t.id.Store(&id)
	select {
	case <-t.ended: // Close has taken out what it knew of, or is about to
		return
	default:
	}
	for _, h := range t.hashes() {
		n.register(h, t)
	}
}

// withdrawn ends a seed whose content has changed: it is not found any more.
func (t *Transfer) withdrawn(err error) {
	n := t.node
	n.mu.Lock()
	for _, h := range t.hashes() {
		if n.transfers[h] == t {
			n.unregister(h)
		}
	}
	n.mu.Unlock()
	t.leaveLAN()
	t.mu.Lock()
	t.err, t.gone = fmt.Errorf("%x: %w", t.hashes()[0], err), true
	t.mu.Unlock()
	t.leaveFinder()
	if e := t.entry.Load(); e != nil {
		e.Close()
	}
}
