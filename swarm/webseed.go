package swarm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/swarm/webfetch"
)

// webSeed is a BEP 19 source. It is the last resort: asked at once if no peer has what is
// missing, at full speed while there is no useful peer at all, and else not.
type webSeed struct {
	s     *session
	src   *webfetch.Source
	name  string // its URL, or what Spec.Local is: its URL is made up
	host  string // HOST:PORT of src
	class atomic.Uint32
	probe func()        // asks once what it is
	spare int           // 0: asked with the others; else only while those with smaller numbers fail
	turn  chan struct{} // full while a worker looks for something to fetch: the others wait behind it

	// All below belongs to the loop.
	runs    map[*webRun]struct{} // under way
	got     int64                // bytes it brought
	until   time.Time            // not asked before
	banned  time.Time            // until then because it gave wrong content
	fails   int                  // in a row
	without map[int]bool         // files that it does not have, or not as the torrent has them
	whole   bool                 // it ignores ranges: whole files from the front, one at a time
	dead    bool
}

func (w *webSeed) sourceClass() Class { return Class(w.class.Load()) }
func (w *webSeed) String() string     { return w.name }

// localName is what Spec.Local is called.
const localName = "this machine"

const (
	maxWebSeeds = 16
	webWorkers  = 4  // requests at once to one web seed
	tinyWorkers = 12 // the same where files are so small that latency decides
	tinyFile    = 256 << 10
	webGrace    = 250 * time.Millisecond // for peers to turn up
	minRun      = 1 << 20
	maxRun      = 64 << 20
	webStall    = 2 * time.Second // peers that bring nothing for so long are no peers
	maxWithout  = 16              // files that a web seed without any other may lack
)

// startWebSeeds begins to use the torrent's web seeds.
func (s *session) startWebSeeds(ctx context.Context) {
	if s.fetch == nil || s.complete() {
		return
	}
	seen := map[string]bool{}
	add := func(url string, class Class, probe bool, client *http.Client, spare int) {
		if seen[url] || len(s.webs) >= maxWebSeeds {
			return
		}
		seen[url] = true
		src, err := webfetch.New(webfetch.Config{URL: url, Info: s.torrent.Info, UserAgent: s.t.node.cfg.UserAgent, Client: client})
		if err != nil {
			s.log.Warn("web seed left out", "source", url, "err", err)
			return
		}
		name := url
		if client != nil {
			name = localName
		}
		w := &webSeed{s: s, src: src, name: name, host: src.Addr(), spare: spare, probe: func() {}, runs: make(map[*webRun]struct{}), without: make(map[int]bool),
			turn: make(chan struct{}, 1)}
		w.class.Store(uint32(class))
		s.webs = append(s.webs, w)
		if probe {
			w.probe = sync.OnceFunc(func() {
				s.wg.Go(func() {
					if role, err := src.Probe(ctx); err == nil && role == RoleEdge.String() {
						w.class.Store(uint32(Edges))
					}
				})
			})
		}
		if spare == 0 {
			w.probe()
		}
	}
	var local *http.Client
	if rt := s.t.spec.Local; rt != nil {
		local = &http.Client{Transport: rt}
	}
	for _, u := range s.t.spec.OriginSeeds {
		add(u, Origin, false, local, 0)
	}
	for _, list := range [][]string{s.torrent.WebSeeds, s.t.spec.WebSeeds} {
		for _, u := range list {
			add(u, Origin, true, nil, 0)
		}
	}
	s.firstWebs = len(s.webs)
	for i, u := range s.t.spec.SpareSeeds {
		add(u, Origin, true, nil, 1+i)
	}
	workers := webWorkers
	if n := int64(len(s.torrent.Files)); n > 2*tinyWorkers && s.torrent.Length/n < tinyFile {
		workers = tinyWorkers
	}
	for _, w := range s.webs {
		for range max(2, min(workers, 32/max(1, s.firstWebs))) {
			s.wg.Go(func() { s.webWorker(ctx, w) })
		}
	}
}

// webWorker fetches runs from a web seed until there is nothing left to fetch.
func (s *session) webWorker(ctx context.Context, w *webSeed) {
	for {
		runCtx, cancel := context.WithCancel(ctx)
		run := s.nextRun(ctx, w, cancel)
		if run == nil {
			cancel()
			return
		}
		a := assembler{s: s, ctx: runCtx, run: run}
		err := a.fetch()
		cancel()
		if !s.do(func() { s.webDone(run, err) }) {
			return
		}
	}
}

// nextRun waits until a web seed is to fetch something; nil: never again. One worker looks, not all of them: where peers give all there is, looking
// would be most of what wakes this machine.
func (s *session) nextRun(ctx context.Context, w *webSeed, stop context.CancelFunc) *webRun {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-w.turn }()
	var run *webRun
	for {
		var over bool
		if !s.call(func() { run, over = s.webWork(w, stop), w.dead || s.complete() }) || run != nil || over {
			return run
		}
		select {
		case <-time.After(tickTime / 2):
		case <-ctx.Done():
			return nil
		}
	}
}

// webWork says what a web seed is to fetch next; nil: nothing now.
func (s *session) webWork(w *webSeed, stop context.CancelFunc) *webRun {
	now := s.now()
	if s.failed != nil || w.dead || now.Before(w.until) || s.missing() == 0 || w.whole && len(w.runs) > 0 || s.spared(w) {
		return nil
	}
	company := s.usefulPeers(w, now)
	if !company && now.Sub(s.started) < max(webGrace, s.t.spec.WebGrace) && s.peersMayCome() {
		return nil
	}
	if (company || now.Sub(s.started) < slowTime) && s.otherDoor(w) {
		return nil
	}
	ops, start := s.webPieces(w, company, now)
	if len(ops) == 0 && !company && s.splitWeb(w, now) {
		ops, start = s.webPieces(w, company, now)
	}
	if len(ops) == 0 {
		return nil
	}
	w.probe()
	s.log.Debug("a web seed helps", "source", w.name, "pieces", len(ops), "first", ops[0].index, "company", company, "peers", len(s.conns), "since_peers_gave", now.Sub(s.lastPeer))
	last := ops[len(ops)-1]
	end := last.offset + last.length
	if len(ops) == 1 && !w.whole {
		start, end = last.gap()
	}
	run := &webRun{w: w, stop: stop, ops: ops, start: start, end: end, limit: len(ops), begun: now}
	for _, op := range ops {
		s.lend(op, run)
	}
	run.at.Store(start)
	run.moved.Store(now.UnixNano())
	w.runs[run] = struct{}{}
	return run
}

// otherDoor says whether w is the web server of a peer that is being dialled, and has not said yet who it is. Where a crowd begins at once that takes a
// while, and what the origin would then give through one door it has promised to others at the other.
func (s *session) otherDoor(w *webSeed) bool {
	e := s.book.pinned[w.host]
	return e != nil && (e.dialing || e.conn) && !slices.ContainsFunc(s.conns, func(c *conn) bool { return s.book.pinned[c.pin] == e && c.introduced && (c.met || !c.ext) })
}

// spared says whether a web seed is left alone, since one that comes before it does not fail, and may have what is missing.
func (s *session) spared(w *webSeed) bool {
	now := s.now()
	return w.spare > 0 && slices.ContainsFunc(s.webs, func(o *webSeed) bool { return o.spare < w.spare && o.fails == 0 && !o.denies(now) })
}

// brings notes that a web seed brings content. If it had failed, its spares lose what they were asked for and have not begun: the last spare is the origin, and
// edges whose neighbour has died fail for a moment.
func (s *session) brings(w *webSeed) {
	if w.fails == 0 {
		return
	}
	w.fails = 0
	for _, w := range s.webs {
		if len(w.runs) == 0 || !s.spared(w) {
			continue
		}
		for r := range w.runs {
			s.takeFrom(r, 0)
		}
	}
}

// peersMayCome says whether there is anybody who could know a peer.
func (s *session) peersMayCome() bool {
	return s.t.node.cfg.Upload != UploadOff && (s.t.entry.Load() != nil || len(s.book.pinned)+len(s.book.known) > 0)
}

// mayWeb says whether w can be asked for piece p.
func (s *session) mayWeb(w *webSeed, p int) bool {
	if !s.provable(p) {
		return false
	}
	if len(w.without) > 0 {
		for seg := range s.torrent.Segments(s.torrent.PieceSpan(p)) {
			if w.without[seg.File] {
				return false
			}
		}
	}
	return true
}

// webPieces chooses what w fetches next, in the order of piece space, and from where on. In
// company that is one piece that no peer has.
func (s *session) webPieces(w *webSeed, company bool, now time.Time) (ops []*openPiece, start int64) {
	if company {
		for _, c := range s.conns {
			if c.role == RoleOrigin {
				return nil, 0 // it has everything, even what it does not show yet
			}
		}
		p := s.pick.pick(func(p int) bool { return s.seeds == 0 && s.pick.avail[p] == 0 && s.mayWeb(w, p) })
		if p < 0 {
			return nil, 0
		}
		if w.whole {
			return s.wholeFile(w, nil, p, now)
		}
		return []*openPiece{s.begin(p)}, int64(p) * s.torrent.PieceLength
	}
	var left *openPiece // half done, and nobody at it
	for _, op := range s.open {
		if (left == nil || op.index < left.index) && s.mayWeb(w, op.index) && s.abandoned(op, now) {
			left = op
		}
	}
	first := s.urgent(func(p int) bool { return s.mayWeb(w, p) })
	if first < 0 {
		for first = 0; first < s.have.n && !(s.pick.waits(first) && s.mayWeb(w, first)); {
			first++
		}
	}
	switch {
	case w.whole:
		return s.wholeFile(w, left, first, now)
	case left != nil:
		s.takeOver(left)
		return []*openPiece{left}, left.offset
	}
	size, files := int64(0), 0
	share := max(1, s.pick.left()/(2*webWorkers*max(1, s.firstWebs)))
	most := min(max(int64(share)*s.torrent.PieceLength, minRun), maxRun)
	if s.t.spec.InOrder {
		most = minRun
	}
	for p := first; p < s.have.n && s.pick.waits(p) && s.mayWeb(w, p) && size < most && (files <= share || files < 2); p++ {
		if s.halves[p] != nil { // of it less than a piece is asked for
			if len(ops) == 0 {
				ops = append(ops, s.begin(p))
			}
			break
		}
		op := s.begin(p)
		ops = append(ops, op)
		size += op.length
		for range s.torrent.Segments(op.offset, op.length) {
			files++
		}
		if s.torrent.HasV2 && p+1 < s.have.n && s.torrent.FileOfPiece(p) == s.torrent.FileOfPiece(p+1) {
			files-- // counted once, with its last piece
		}
	}
	if len(ops) == 0 {
		return nil, 0
	}
	return ops, ops[0].offset
}

// abandoned says whether op lacks blocks, and no source is at it that delivers.
func (s *session) abandoned(op *openPiece, now time.Time) bool {
	if op.web != nil || op.closed || op.here == op.blocks() || op.only != nil && !op.only.gone {
		return false
	}
	for _, q := range op.asks {
		if now.Sub(q.of.heard()) < webStall {
			return false
		}
	}
	return true
}

// takeOver takes back what sources were asked of op that do not answer.
func (s *session) takeOver(op *openPiece) {
	s.withdraw(op)
	op.owner = nil
}

// wholeFile is what a server without ranges is asked for: the file that the first missing piece
// begins in, from the front, with all that is missing of it.
func (s *session) wholeFile(w *webSeed, left *openPiece, first int, now time.Time) (ops []*openPiece, start int64) {
	if left != nil {
		first = min(first, left.index)
	}
	if first >= s.have.n {
		return nil, 0
	}
	f := s.torrent.FileOfPiece(first)
	if f < 0 {
		return nil, 0
	}
	_, end := s.torrent.FilePieces(f)
	for p := first; p < end; p++ {
		switch op := s.open[p]; {
		case !s.mayWeb(w, p):
		case op != nil && s.abandoned(op, now):
			s.takeOver(op)
			ops = append(ops, op)
		case s.pick.waits(p):
			ops = append(ops, s.begin(p))
		}
	}
	return ops, s.torrent.Files[f].Offset
}

// webDone takes back what a run did not bring.
func (s *session) webDone(run *webRun, err error) {
	w, now := run.w, s.now()
	delete(w.runs, run)
	for _, op := range run.ops {
		if op.web == run {
			s.lend(op, nil)
			s.giveBack(op)
		}
	}
	s.fillAll()
	var gone *webfetch.Gone
	var changed *webfetch.Changed
	var busy *webfetch.Busy
	switch {
	case err == nil || errors.Is(err, errShortened) || errors.Is(err, context.Canceled) && !run.hung:
		return
	case errors.As(err, &gone):
		w.lacks(gone.File)
	case errors.As(err, &changed):
		w.lacks(changed.File)
	case errors.As(err, &busy):
		w.until = now.Add(max(busy.RetryAfter, time.Second))
	case errors.Is(err, webfetch.ErrNoRange):
		w.whole = true
	case now.Before(w.until): // several requests fail together: that is one failure
	default:
		w.until = now.Add(min(200*time.Millisecond<<min(w.fails, 8), 30*time.Second))
		w.fails++
	}
	s.t.webError(fmt.Errorf("web seed %s: %w", w.name, err))
	s.log.Debug("web seed", "source", w.name, "err", err)
}
