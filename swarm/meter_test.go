package swarm

import (
	"testing"
	"time"

	"shoal/piece"
)

// What comes fast in less than a second, at last or at first, is of the best second like anything else.
func TestBestSecondBeginsAnywhere(t *testing.T) {
	const size, slow = 4 << 20, 100_000
	tor, path, _ := makeContent(t, size, piece.BuildConfig{})
	for _, c := range []struct {
		name         string
		before, then int64         // the seed's limit until, and since, a while has passed
		passed       time.Duration // not a whole second
	}{
		{"fast at last", slow, 0, 4300 * time.Millisecond},
		{"fast at first", 30 * size, slow, 25 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				seed := b.node(Config{})
				seed.SetLimits(Limits{Up: c.before, MaxPeers: 80})
				b.add(seed, Spec{Torrent: tor, Content: path})
				tr := b.add(b.node(Config{}), Spec{Torrent: tor, Dir: t.TempDir()})
				begin := time.Now()
				b.meet(tr, seed, elsewhere)
				time.Sleep(c.passed)
				early := float64(b.came())
				seed.SetLimits(Limits{Up: c.then, MaxPeers: 80})
				<-tr.Done()
				took, s := time.Since(begin), tr.Stats()
				best := max(early, size-early) // most of it came in less than a second, but that counts as one
				least := time.Duration(size / best * float64(time.Second))
				if got := s.TMin(); got < least*8/10 || got > least*13/10 {
					t.Errorf("T_min of %.0f bytes, then %.0f, in %v is %v, want about %v", early, size-early, took, got, least)
				}
			})
		})
	}
}

// What is complete before a second has passed has no rate.
func TestLessThanASecondHasNoRate(t *testing.T) {
	tor, path, _ := makeContent(t, 1<<20, piece.BuildConfig{})
	inBubble(t, func(b *bubble) {
		seed := b.node(Config{})
		b.add(seed, Spec{Torrent: tor, Content: path})
		tr := b.add(b.node(Config{}), Spec{Torrent: tor, Dir: t.TempDir()})
		b.meet(tr, seed, elsewhere)
		<-tr.Done()
		if got := tr.Stats().PeakDown; got != 0 {
			t.Errorf("the best second had %d bytes, want none: there was no second", got)
		}
	})
}
