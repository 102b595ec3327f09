package swarm

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"shoal/piece"
)

// Whatever is let through, and by how many, a rate holds within 5 % over 5 s.
func TestPaceHolds(t *testing.T) {
	for _, rate := range []int64{20_000, 1 << 20, 2_500_000, 1e9} {
		for _, block := range []int{16 << 10, 128 << 10} {
			for _, many := range []int{1, 7} {
				t.Run(fmt.Sprintf("%d, blocks of %d, %d at once", rate, block, many), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var p Pace
						p.Set(rate)
						var passed atomic.Int64
						ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
						defer cancel()
						var wg sync.WaitGroup
						for range many {
							wg.Go(func() {
								for {
									for left := int64(block); left > 0; {
										k := p.slice(left)
										if p.WaitN(ctx, int(k)) != nil {
											return
										}
										passed.Add(k)
										left -= k
									}
								}
							})
						}
						wg.Wait()
						if got, want := float64(passed.Load()), 5*float64(rate); got < 0.95*want || got > 1.05*want {
							t.Errorf("%.0f bytes in 5 s, want %.0f within 5 %%", got, want)
						}
					})
				})
			}
		}
	}
}

// A change holds at once, also for those who wait already.
func TestPaceChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		p.Set(1)
		begin := time.Now()
		p.WaitN(t.Context(), 1000) // at once
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { p.WaitN(t.Context(), 1000) })
		}
		synctest.Wait()
		time.Sleep(time.Second)
		p.Set(1000)
		wg.Wait()
		if took := time.Since(begin) - time.Second; took < 2900*time.Millisecond || took > 3100*time.Millisecond {
			t.Errorf("three times 1000 bytes at 1000 a second behind as many that went out at once: %v, want 3 s", took)
		}
		wg.Go(func() { p.WaitN(t.Context(), 1e9) })
		wg.Go(func() { p.WaitN(t.Context(), 1e9) })
		synctest.Wait()
		p.Set(0)
		wg.Wait()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("without a limit those who wait wait on: %v", took)
		}
	})
}

// Who gives up leaves no debt.
func TestPaceGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		p.Set(1000)
		p.WaitN(t.Context(), 1000)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := p.WaitN(ctx, 1e9); err == nil {
			t.Fatal("the context's end is no error")
		}
		begin := time.Now()
		if err := p.WaitN(t.Context(), 1); err != nil || time.Since(begin) > time.Second {
			t.Errorf("the next waits %v, %v; want the rest of the first's second", time.Since(begin), err)
		}
	})
}

// counted is one that measures a limit by the time that was really there.
func counted(t *testing.T, what string, limit int64, bytes int64, took time.Duration) {
	t.Helper()
	// More than the limit is wrong however busy the computer is; less is only seen on a free one.
	if most := float64(limit)*took.Seconds()*1.05 + float64(limit)/20; float64(bytes) > most {
		t.Errorf("%s: %d bytes in %v, want %.0f at most", what, bytes, took, most)
	}
	if least := float64(limit) * took.Seconds() / 2; float64(bytes) < least {
		t.Errorf("%s: %d bytes in %v, want half of the limit at the very least, %.0f", what, bytes, took, least)
	}
}

// Limits hold over real connections, in both directions, for peers and web seeds, and change while bytes are on their way.
func TestLimitsHold(t *testing.T) {
	tor, path, _ := makeContent(t, 24<<20, piece.BuildConfig{})
	const limit = 4 << 20
	for name, cfg := range map[string]struct {
		up, down int64
		web      bool
	}{"up": {up: limit}, "down": {down: limit}, "down from a web seed": {down: limit, web: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := Spec{Torrent: tor, Dir: t.TempDir()}
			from := newMachine(t, Config{LimitUp: cfg.up})
			if cfg.web {
				url, _ := webServer(t, tor, path, nil)
				spec.WebSeeds = []string{url}
			} else {
				add(t, from, Spec{Torrent: tor, Content: path})
				spec.Peers = []string{from.addr}
			}
			m := newMachine(t, Config{LimitDown: cfg.down})
			tr := add(t, m, spec)
			until(t, "the first bytes", func() bool { return fetched(tr.Stats()) > 0 })
			begin, before := time.Now(), fetched(tr.Stats())
			time.Sleep(1500 * time.Millisecond)
			counted(t, name, limit, fetched(tr.Stats())-before, time.Since(begin))
			from.SetLimits(Limits{MaxPeers: 80})
			m.SetLimits(Limits{MaxPeers: 80})
			wait(t, tr, 20*time.Second)
		})
	}
}
