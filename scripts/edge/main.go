//go:build linux

// Command edge measures shoal edge on this machine, beside nginx and Varnish where these do the same, and prints what it finds as tables. scripts/edge-figures.sh builds both and
// runs it.
//
// What is compared is measured in turn, round after round, so that a disturbance hits both; a figure is the median of its rounds. Everything lies in one
// directory and was read or written just before, so that no figure is of the disk.
package main

import (
	"context"
	"flag"
	"os"
	"time"

	"shoal/scripts/internal/program"
)

func main() {
	b := &bench{}
	flag.StringVar(&b.shoal, "shoal", "shoal", "the program")
	flag.StringVar(&b.dir, "dir", ".", "directory for temporary files")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds")
	flag.Int64Var(&b.large, "large", 1<<30, "bytes of the large file")
	flag.DurationVar(&b.burst, "burst", 2*time.Second, "how long small files are asked for in a round")
	flag.IntVar(&b.releases, "releases", 5000, "releases that an edge keeps, for its memory")
	flag.IntVar(&b.requests, "requests", 6000, "requests of the trace")
	flag.StringVar(&b.only, "only", "", "measure only this: large, small, memory or trace")
	flag.Parse()
	os.Setenv("SHOAL_DHT", "off") // whatever addresses the machine has, the figures are of it alone
	os.Setenv("SHOAL_NO_LAN", "true")
	program.Main("edge", b.run)
}

// bench is one run of everything.
type bench struct {
	shoal, dir                 string
	rounds, releases, requests int
	large                      int64
	burst                      time.Duration
	only                       string
}

func (b *bench) run(ctx context.Context) error {
	return program.Table(ctx, b.only, []program.Part{
		{Name: "large", Measure: b.largeHits},
		{Name: "small", Measure: b.smallHits},
		{Name: "memory", Measure: b.memory},
		{Name: "trace", Measure: b.trace},
	})
}
