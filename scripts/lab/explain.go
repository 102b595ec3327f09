//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// explain says where a round lost time: how busy each kind of link was in each tenth of it, and what the
// programs say that they waited for.
func explain(x *result) string {
	if x.Simulated {
		return fmt.Sprintf("\n%s, round %d, simulated: %.2f s\n%s", x.Scenario, x.Round+1, x.Makespan, x.details)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, round %d, %s: %.2f s; how full links were in %%, in each tenth of that time\n", x.Scenario, x.Round+1, x.Contender, x.Makespan)
	row := func(name string, busy float64, phases [10]float64, more string) {
		fmt.Fprintf(&b, "  %-20s %3.0f |", name, 100*busy)
		for _, p := range phases {
			fmt.Fprintf(&b, " %3.0f", 100*p)
		}
		fmt.Fprintf(&b, " | %s\n", more)
	}
	kinds := map[string][]linkResult{}
	var order []string
	for _, l := range x.Links {
		if l.Rate == 0 {
			continue
		}
		kind := l.Name
		if strings.HasPrefix(kind, "machine-") {
			_, way, _ := strings.Cut(kind, " ")
			kind = fmt.Sprintf("%s of %s", way, rate(l.Rate))
		}
		if kinds[kind] == nil {
			order = append(order, kind)
		}
		kinds[kind] = append(kinds[kind], l)
	}
	for _, kind := range order {
		list := kinds[kind]
		if len(list) == 1 {
			row(kind, list[0].Busy, list[0].Phases, fmt.Sprintf("something waited %.0f %% of the time", 100*list[0].Waiting))
			continue
		}
		var mean linkResult
		least, most := list[0], list[0]
		for _, l := range list {
			mean.Busy += l.Busy / float64(len(list))
			mean.Waiting += l.Waiting / float64(len(list))
			for i, p := range l.Phases {
				mean.Phases[i] += p / float64(len(list))
			}
			if l.Busy < least.Busy {
				least = l
			}
			if l.Busy > most.Busy {
				most = l
			}
		}
		row(fmt.Sprintf("%d × %s", len(list), kind), mean.Busy, mean.Phases, fmt.Sprintf("something waited %.0f %% of the time; from %.0f (%s) to %.0f (%s)",
			100*mean.Waiting, 100*least.Busy, least.Name, 100*most.Busy, most.Name))
	}
	fmt.Fprintf(&b, "  processors: the programs used %.0f %% of all, and waited %.1f s for one, all threads together\n", 100*x.Occupied, x.CPUWait)
	if x.OriginPayload > 0 {
		fmt.Fprintf(&b, "  the origin gave %.3f copies to peers and %.3f over HTTP\n", float64(x.OriginPayload-x.OriginHTTP)/float64(x.Size), float64(x.OriginHTTP)/float64(x.Size))
	}
	var wasted int64
	for _, m := range x.Machines {
		wasted += m.Wasted
	}
	mean := func(what string, of func(machineShow) map[string]float64) {
		sum := map[string]float64{}
		for _, m := range x.Machines {
			for why, seconds := range of(m) {
				sum[why] += seconds / float64(len(x.Machines))
			}
		}
		if len(sum) == 0 {
			return
		}
		fmt.Fprintf(&b, "  %s:", what)
		for _, why := range slices.Sorted(maps.Keys(sum)) {
			fmt.Fprintf(&b, " %s %.1f", strings.ReplaceAll(why, "_", " "), sum[why])
		}
		b.WriteString("\n")
	}
	mean("connections idle, seconds per machine, all its connections together", func(m machineShow) map[string]float64 { return m.Idle })
	mean("deliveries held back, seconds per machine", func(m machineShow) map[string]float64 { return m.Held })
	if wasted > 0 {
		fmt.Fprintf(&b, "  received twice or wrong: %.3f × content, all machines together\n", float64(wasted)/float64(x.Size))
	}
	first, last := x.Machines[0], x.Machines[0]
	for _, m := range x.Machines {
		if m.Seconds == 0 {
			continue
		}
		if first.Seconds == 0 || m.Arrived+m.Seconds < first.Arrived+first.Seconds {
			first = m
		}
		if m.Arrived+m.Seconds > last.Arrived+last.Seconds {
			last = m
		}
	}
	if x.Verified == 0 {
		return b.String()
	}
	fmt.Fprintf(&b, "  first to finish: %s at %.2f s; last: %s at %.2f s\n", first.Name, first.Arrived+first.Seconds, last.Name, last.Arrived+last.Seconds)
	return b.String()
}
