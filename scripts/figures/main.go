//go:build linux

// Command figures measures shoal on this machine and prints what it finds as a table. scripts/figures.sh
// builds both and runs it.
//
// What is compared is measured in turn, round after round, so that a disturbance hits both; a figure is the
// median of its rounds. Everything lies in one directory and was read or written just before, so that no
// figure is of the disk.
package main

import (
	"context"
	"flag"
	"os"
	"runtime"

	"shoal/scripts/internal/program"
)

func main() {
	b := &bench{}
	flag.StringVar(&b.shoal, "shoal", "shoal", "the program")
	flag.StringVar(&b.dir, "dir", ".", "directory for temporary files")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds of what takes seconds")
	flag.IntVar(&b.starts, "starts", 41, "rounds of what takes milliseconds")
	flag.IntVar(&b.idle, "idle", 10000, "contents of the idle seeder")
	flag.BoolVar(&b.large, "large", false, "fetch 10 GiB too (needs as much room twice)")
	flag.StringVar(&b.only, "only", "", "measure only this: create, start, one-to-one, memory or idle")
	flag.Parse()
	os.Setenv("SHOAL_DHT", "off") // whatever addresses the machine has, the figures are of it alone
	program.Main("figures", b.run)
}

// bench is one run of everything.
type bench struct {
	shoal, dir           string
	rounds, starts, idle int
	large                bool
	only                 string
}

func (b *bench) run(ctx context.Context) error {
	return program.Table(ctx, b.only, []program.Part{
		{Name: "create", Measure: b.create},
		{Name: "start", Measure: b.start},
		{Name: "one-to-one", Measure: b.oneToOne},
		{Name: "memory", Measure: b.memory},
		{Name: "idle", Measure: b.idleSeeder},
	})
}

var cores = runtime.GOMAXPROCS(0)
