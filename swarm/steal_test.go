package swarm

import (
	"slices"
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

func TestCancelsThatComeTooLateAreLearnedFrom(t *testing.T) {
	c := &conn{margin: stealAge}
	c.cancelled(false)
	c.cancelled(false)
	if c.margin <= 2*stealAge {
		t.Errorf("after two cancels that came too late only what waits %v longer is taken over, want more", c.margin)
	}
	for range 100 {
		c.cancelled(false)
	}
	if c.margin != stealMost {
		t.Errorf("margin %v, want %v at most", c.margin, stealMost)
	}
	for range 100 {
		c.cancelled(true)
	}
	if c.margin != stealAge {
		t.Errorf("margin %v after many cancels in time, want %v again", c.margin, stealAge)
	}
}

func TestPatienceFollowsTheTimeThatBlocksTake(t *testing.T) {
	q := &request{length: 64 << 10}
	site, alone, slow := &session{lan: []*conn{{}}}, &session{}, &session{lan: []*conn{{}}}
	slow.arrives[away], slow.outstanding[away] = 1e6, 2e6
	for _, tt := range []struct {
		name string
		c    *conn
		want time.Duration
	}{
		{"nothing is known", &conn{s: site, order: []*request{q}}, silence},
		{"a quick one", &conn{s: site, order: []*request{q}, rateDown: 64 << 20}, silence + 3*time.Second/1024},
		{"a slow one", &conn{s: site, order: []*request{q}, rateDown: 64 << 10}, silence + 3*time.Second},
		{"a slow one where there is no border", &conn{s: alone, order: []*request{q}, rateDown: 64 << 10}, silence},
		{"one that is no use", &conn{s: site, order: []*request{q}, rateDown: 1}, snubTime},
		{"all comes slowly", &conn{s: slow, order: []*request{q}}, 2 * time.Second},
		{"it alone was asked for much", &conn{s: slow, order: []*request{q}, outstanding: 1.5e6}, silence},
		{"all comes slowly, and it more so", &conn{s: slow, order: []*request{q}, rateDown: 64 << 10}, silence + 3*time.Second},
		{"what it was asked is answered", &conn{s: site, order: []*request{{done: true}}, rateDown: 1}, silence},
	} {
		if got := tt.c.patience().Round(time.Millisecond); got != tt.want.Round(time.Millisecond) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A source that brings next to nothing is as good as one that brings nothing, and what comes in a second is counted by lanes.
func TestWhatComesBySource(t *testing.T) {
	tor, _, want := makeContent(t, 4*64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	b := newBench(tor, want)
	defer b.stop()
	far, other, neighbour := b.peer(1), b.peer(2), b.peer(3)
	neighbour.lane.Store(near)
	now := b.now()
	b.meterTick(now)
	far.received, other.received, neighbour.received = 1<<20, 2<<20, 8<<20
	b.meterTick(now.Add(2 * time.Second))
	if got, want := b.arrives, [lanes]float64{away: 1.5 * (1 << 20), near: 4 << 20}; got != want {
		t.Errorf("%v bytes/s come over the lanes, want %v", got, want)
	}
	far.choked, far.asked, far.outstanding, far.lastBlock = false, 1, 3<<20, now
	if w := far.wait(now); w != 6*time.Second {
		t.Errorf("3 MiB from one that brings half a MiB in a second take %v", w)
	}
	if far.rateDown = 1e-300; far.wait(now) != stuckWait {
		t.Errorf("they take %v where next to nothing comes, want %v", far.wait(now), stuckWait)
	}
}

// A cancel takes back what was handed to the writer and is not written yet, and gets an answer.
func TestCancelReachesWhatTheWriterHas(t *testing.T) {
	tr := &Transfer{node: New(Config{})}
	tr.id.Store(&infoHashes{hasV1: true})
	s := newSession(tr, nil)
	s.pick, s.have = newPicker(4, s.rnd, false), newBitset(4)
	c := &conn{s: s, fast: true, nonsense: newBudget(maxNonsense), inflight: 2 << 14}
	c.out.notify = make(chan struct{}, 1)
	a, b := upRequest{piece: 1, length: 1 << 14}, upRequest{piece: 2, length: 1 << 14}
	c.out.block(a)
	c.out.block(b)
	if err := s.cancelled(c, &wire.Message{Index: 2, Length: 1 << 14}); err != nil {
		t.Fatal(err)
	}
	control, blocks := c.out.take(1 << 20)
	if len(blocks) != 1 || blocks[0] != a || c.inflight != 1<<14 {
		t.Errorf("the writer has %v, %d bytes in flight; want only %v", blocks, c.inflight, a)
	}
	if want := wire.AppendSpan(nil, wire.Reject, 2, 0, 1<<14); string(control) != string(want) {
		t.Errorf("answer %x, want a refusal %x", control, want)
	}
}

// Who was asked for nothing is as busy as its last answer was late, for a while.
func TestIdleSourceWasBusyLately(t *testing.T) {
	now := time.Now()
	c := &conn{lag: 600 * time.Millisecond, lagAt: now}
	for after, want := range map[time.Duration]time.Duration{0: 600 * time.Millisecond, time.Second: 300 * time.Millisecond, time.Minute: 0} {
		if got := c.lately(now.Add(after)); got != want {
			t.Errorf("%v after an answer that took 600 ms it is taken to need %v, want %v", after, got, want)
		}
	}
}

// In a crowd an idle source takes over whole pieces: of none that is here in part, and not the one that the other is at.
func TestInACrowdPiecesAreTakenOverWhole(t *testing.T) {
	tor, _, want := makeContent(t, 8*64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	b := newBench(tor, want)
	defer b.stop()
	slow, idle := b.peer(1), b.peer(2)
	b.handle(idle, &wire.Message{Type: wire.HaveAll})
	slow.choked, idle.choked = false, false
	for i := range byte(manySources) {
		b.peer(3 + i).choked = true
	}
	for p := range 4 { // it is at 0, and of 2 a block is here
		op := b.begin(p)
		for block := range 4 {
			b.send(slow, op, block, block+1)
		}
	}
	b.deliver(slow.order[2*4+3], true)
	for _, q := range slow.order {
		q.at = q.at.Add(-2 * stealAge)
	}
	slow.rateDown = 64 << 10
	b.steal(b.now())
	moved := make(map[int][]int64)
	for _, q := range idle.order {
		moved[q.op.index] = append(moved[q.op.index], q.begin)
	}
	for p, whole := range []bool{false, true, false, true} {
		if whole && !slices.Equal(moved[p], []int64{0, 16 << 10, 32 << 10, 48 << 10}) || !whole && len(moved[p]) > 0 {
			t.Errorf("of piece %d blocks at %d were taken over, want all of it: %v", p, moved[p], whole)
		}
	}
}
