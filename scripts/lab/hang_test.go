//go:build linux

package main

import (
	"runtime"
	"testing"

	"golang.org/x/sync/errgroup"

	"shoal/internal/swarmtest"
	"shoal/swarm/sim"
)

// Machines come, go without a word and lie, with and without a budget, and all that stay have the content in the end: none hangs,
// and no wrong block counts as verified. SHOAL_REQUIRE=long takes 100 seeds of full size, one or two minutes.
func TestNobodyHangs(t *testing.T) {
	seeds, scale := 2, 0.1
	if swarmtest.Required("long") {
		seeds, scale = 100, 1
	}
	for _, name := range []string{"S5", "S5-budget"} {
		t.Run(name, func(t *testing.T) {
			s, err := load(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.shrink(scale); err != nil {
				t.Fatal(err)
			}
			x, err := s.simulation()
			if err != nil {
				t.Fatal(err)
			}
			content, err := sim.NewContent(x.Size, x.PieceLength)
			if err != nil {
				t.Fatal(err)
			}
			var g errgroup.Group
			g.SetLimit(runtime.GOMAXPROCS(0))
			for i := range seeds {
				g.Go(func() error {
					r, err := sim.Run(x, content, s.Seed+uint64(i))
					if err != nil {
						return err
					}
					if f := figuresOf(r); f.Hung+f.Lost > 0 || f.Wrong > 0 || f.Verified != f.Expected || f.Expected == 0 {
						t.Errorf("seed %d: %d of %d machines have the content, %d hang, %d count as lost, %d wrong blocks count as verified; -simulate -why tells more",
							r.Seed, f.Verified, f.Expected, f.Hung, f.Lost, f.Wrong)
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}
