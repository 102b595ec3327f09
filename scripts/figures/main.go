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
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

// bench is one run of everything.
type bench struct {
	shoal, dir           string
	rounds, starts, idle int
	large                bool
	only                 string
}

func (b *bench) run(ctx context.Context) error {
	fmt.Printf("%s, %s\n\n", program.Machine(), program.Load())
	fmt.Println("| what | measured |\n| --- | --- |")
	for _, m := range []struct {
		name    string
		measure func(context.Context) error
	}{{"create", b.create}, {"start", b.start}, {"one-to-one", b.oneToOne}, {"memory", b.memory}, {"idle", b.idleSeeder}} {
		if b.only != "" && b.only != m.name {
			continue
		}
		if err := m.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	fmt.Printf("\nat the end: %s\n", program.Load())
	return nil
}

var cores = runtime.GOMAXPROCS(0)
