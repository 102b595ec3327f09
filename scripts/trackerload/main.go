//go:build linux

// Command trackerload measures trackers: shoal's, and opentracker's beside it. scripts/tracker-figures.sh builds it and runs it in a network of
// its own, with the generator and the trackers on separate cores.
//
// Trackers take turns, round after round, so that a disturbance hits both, and what counts is the processor time that a tracker spends on an
// announce, which is less disturbed than the number of announces per second. A figure is the median of its rounds. The tracker knows all peers
// before anything is measured; each announce is one of a peer that it knows, chosen by chance, and wants 50 others.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"shoal/scripts/internal/program"
)

func main() {
	b := &bench{}
	flag.StringVar(&b.shoal, "shoal", "shoal", "the program")
	flag.StringVar(&b.dir, "dir", ".", "directory for temporary files")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds of everything")
	flag.DurationVar(&b.time, "time", 3*time.Second, "length of one measurement")
	flag.IntVar(&b.hashes, "hashes", 10_000, "info hashes")
	flag.IntVar(&b.peers, "peers", 1_000_000, "peers, over all info hashes")
	flag.IntVar(&b.memoryPeers, "memory-peers", 2_000_000, "peers of the measurement of memory")
	flag.StringVar(&b.cores, "tracker-cores", "0", "the cores of a tracker, as taskset has them")
	flag.StringVar(&b.bothCores, "both-cores", "0,1", "the cores of the tracker that has two")
	flag.StringVar(&b.priority, "fifo", "5", "real-time priority of the trackers, \"\" for none")
	flag.StringVar(&b.only, "only", "", "measure only this: udp, http, keep-alive, memory or cores")
	flag.Parse()
	program.Main("trackerload", b.run)
}

// bench is one run of everything.
type bench struct {
	shoal, dir                       string
	rounds, hashes, peers            int
	memoryPeers                      int
	time                             time.Duration
	cores, bothCores, priority, only string
}

// The trackers are at one address, the generator at others of the network that the script makes.
const (
	trackerAddr = "198.18.0.1"
	sources     = 16 // 198.18.0.2 and on
)

func (b *bench) wanted(what string) bool { return b.only == "" || b.only == what }

func (b *bench) run(ctx context.Context) error {
	fmt.Println("| what | shoal | opentracker | shoal / opentracker |\n| --- | --- | --- | --- |")
	if err := b.race(ctx); err != nil {
		return err
	}
	if b.wanted("cores") {
		if err := b.twoCores(ctx); err != nil {
			return fmt.Errorf("cores: %w", err)
		}
	}
	if b.wanted("memory") {
		if err := b.memory(ctx); err != nil {
			return fmt.Errorf("memory: %w", err)
		}
	}
	return nil
}

// race measures both trackers in turn.
func (b *bench) race(ctx context.Context) error {
	if !b.wanted("udp") && !b.wanted("http") && !b.wanted("keep-alive") {
		return nil
	}
	ours, err := b.startShoal(ctx, b.cores)
	if err != nil {
		return err
	}
	defer ours.stop()
	theirs, err := b.startOpentracker(ctx)
	if err != nil {
		return err
	}
	defer theirs.stop()
	for _, t := range []*target{ours, theirs} {
		if err := t.populate(ctx, b.peers); err != nil {
			return fmt.Errorf("populating %s: %w", t.name, err)
		}
	}
	udp := func(t *target) (result, error) { return t.udp(ctx, b.time, 4, 32, 0) }
	fresh := func(t *target) (result, error) { return t.http(ctx, b.time, 32, false, 0) }
	kept := func(t *target) (result, error) { return t.http(ctx, b.time, 32, true, 0) }
	if b.wanted("udp") {
		full, err := b.turns(udp, udp, ours, theirs)
		if err != nil {
			return err
		}
		b.print("UDP", full)
		half := func(rate float64) func(*target) (result, error) {
			return func(t *target) (result, error) { return t.udp(ctx, b.time, 4, 32, rate/2) }
		}
		paced, err := b.turns(half(full[0].rate), half(full[1].rate), ours, theirs)
		if err != nil {
			return err
		}
		b.printLatency("UDP", paced)
	}
	var new [2]figure
	if b.wanted("http") || b.wanted("keep-alive") {
		var err error
		if new, err = b.turns(fresh, fresh, ours, theirs); err != nil {
			return err
		}
		b.print("HTTP, a new connection each", new)
		half := func(rate float64) func(*target) (result, error) {
			return func(t *target) (result, error) { return t.http(ctx, b.time, 32, false, rate/2) }
		}
		paced, err := b.turns(half(new[0].rate), half(new[1].rate), ours, theirs)
		if err != nil {
			return err
		}
		b.printLatency("HTTP, a new connection each", paced)
	}
	if b.wanted("keep-alive") {
		alive, err := b.turns(kept, fresh, ours, theirs)
		if err != nil {
			return err
		}
		b.print("HTTP, connections kept (opentracker closes each)", alive)
	}
	return nil
}

// figure is the median of some rounds.
type figure struct {
	perCPU    float64 // announces per second of the tracker's processor time
	rate      float64 // announces per second
	p50, p99  time.Duration
	peers     float64 // in an answer
	lost, bad int     // in all rounds
}

// turns measures the two trackers in turn.
func (b *bench) turns(ours, theirs func(*target) (result, error), a, o *target) (out [2]figure, err error) {
	var all [2][]result
	for range b.rounds {
		for i, m := range []func() (result, error){func() (result, error) { return ours(a) }, func() (result, error) { return theirs(o) }} {
			r, err := m()
			if err != nil {
				return out, err
			}
			all[i] = append(all[i], r)
		}
	}
	for i := range all {
		out[i] = medians(all[i])
	}
	return out, nil
}

func medians(rs []result) figure {
	f := figure{
		perCPU: median(rs, func(r result) float64 { return float64(r.answers) / r.cpu.Seconds() }),
		rate:   median(rs, func(r result) float64 { return float64(r.answers) / r.took.Seconds() }),
		p50:    time.Duration(median(rs, func(r result) float64 { return float64(r.times.quantile(0.5)) })),
		p99:    time.Duration(median(rs, func(r result) float64 { return float64(r.times.quantile(0.99)) })),
		peers:  median(rs, func(r result) float64 { return float64(r.peers) / float64(max(r.answers, 1)) }),
	}
	for _, r := range rs {
		f.lost += r.lost
		f.bad += r.bad
	}
	return f
}

func median(rs []result, of func(result) float64) float64 {
	var v []float64
	for _, r := range rs {
		v = append(v, of(r))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func (b *bench) print(what string, f [2]figure) {
	fmt.Printf("| %s: announces per second of the tracker's processor time | %.0f | %.0f | %.2f |\n", what, f[0].perCPU, f[1].perCPU, f[0].perCPU/f[1].perCPU)
	fmt.Printf("| the same, announces per second | %.0f | %.0f | %.2f |\n", f[0].rate, f[1].rate, f[0].rate/f[1].rate)
	fmt.Fprintf(os.Stderr, "%s: peers per answer %.1f, %.1f; lost %d, %d; bad %d, %d; p99 %v, %v\n", what,
		f[0].peers, f[1].peers, f[0].lost, f[1].lost, f[0].bad, f[1].bad, f[0].p99, f[1].p99)
}

func (b *bench) printLatency(what string, f [2]figure) {
	fmt.Printf("| %s, at half of that load: median and 99th percentile | %.2f, %.2f ms | %.2f, %.2f ms | |\n", what,
		ms(f[0].p50), ms(f[0].p99), ms(f[1].p50), ms(f[1].p99))
	fmt.Fprintf(os.Stderr, "%s, half: rates %.0f, %.0f; lost %d, %d; bad %d, %d\n", what, f[0].rate, f[1].rate, f[0].lost, f[1].lost, f[0].bad, f[1].bad)
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// twoCores compares the throughput of the tracker on one core and on two, one of which it shares with the generator.
func (b *bench) twoCores(ctx context.Context) error {
	one, err := b.startShoal(ctx, b.cores)
	if err != nil {
		return err
	}
	defer one.stop()
	two, err := b.startShoal(ctx, b.bothCores)
	if err != nil {
		return err
	}
	defer two.stop()
	for _, t := range []*target{one, two} {
		if err := t.populate(ctx, b.peers/10); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		name    string
		measure func(*target) (result, error)
	}{
		{"UDP", func(t *target) (result, error) { return t.udp(ctx, b.time, 4, 32, 0) }},
		{"HTTP, a new connection each", func(t *target) (result, error) { return t.http(ctx, b.time, 32, false, 0) }},
		{"HTTP, connections kept", func(t *target) (result, error) { return t.http(ctx, b.time, 32, true, 0) }},
	} {
		f, err := b.turns(c.measure, c.measure, two, one)
		if err != nil {
			return err
		}
		fmt.Printf("| %s: announces per second on two cores (one is also the generator's) and on one | %.0f, %.0f: %.2f × | | |\n", c.name, f[0].rate, f[1].rate, f[0].rate/f[1].rate)
	}
	return nil
}

// memory looks at what a tracker with many peers takes.
func (b *bench) memory(ctx context.Context) error {
	t, err := b.startShoal(ctx, b.cores)
	if err != nil {
		return err
	}
	defer t.stop()
	empty := t.resident()
	if err := t.populate(ctx, b.memoryPeers); err != nil {
		return err
	}
	if _, err := t.udp(ctx, b.time, 4, 32, 0); err != nil {
		return err
	}
	full := t.resident()
	fmt.Printf("| resident memory with %d peers | %d MiB: %.0f bytes a peer | | |\n", b.memoryPeers, full>>20, float64(full)/float64(b.memoryPeers))
	fmt.Fprintf(os.Stderr, "resident when empty: %d MiB\n", empty>>20)
	return nil
}
