//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// summary is a contender's rounds put together: medians.
type summary struct {
	Scenario  string    `json:"scenario"`
	Contender string    `json:"contender"`
	Rounds    int       `json:"rounds"`
	Verified  int       `json:"verified"` // machines, in all rounds
	Expected  int       `json:"expected"`
	Bound     float64   `json:"t_min_seconds"`
	Makespan  float64   `json:"makespan_seconds"`
	Least     float64   `json:"makespan_least_seconds"`
	Most      float64   `json:"makespan_most_seconds"`
	Mean      float64   `json:"mean_seconds"`
	Ratio     float64   `json:"ratio"`
	Wire      float64   `json:"origin_wire_copies"`
	Payload   float64   `json:"origin_payload_copies"` // 0: not known
	InWire    float64   `json:"ingress_wire_copies"`   // of the site that took most
	Ingress   float64   `json:"ingress_payload_copies"`
	Slowest   float64   `json:"slowest_seconds"` // longest time from arrival to finish
	Late      float64   `json:"late_seconds"`    // the same of those who came late
	CPU       float64   `json:"cpu_seconds"`     // per machine, its mean
	OriginCPU float64   `json:"origin_cpu_seconds"`
	Wait      float64   `json:"cpu_wait"`  // how long a program's threads together waited for a processor, over the makespan
	Peak      float64   `json:"rss_bytes"` // the largest machine
	Own       float64   `json:"rss_anon_bytes"`
	Goals     []verdict `json:"goals,omitempty"`

	ours bool // shoal takes part
}

// median of the rounds' figures that f takes.
func median(results []*result, f func(*result) float64) float64 {
	var all []float64
	for _, x := range results {
		all = append(all, f(x))
	}
	return middle(all)
}

func summarize(s *scenario, c contender, results []*result) summary {
	y := summary{Scenario: s.Name, Contender: c.name, Rounds: len(results), Bound: s.bound(), ours: c.ours()}
	size := float64(s.Size)
	per := func(f func(*result) float64) float64 { return median(results, f) }
	y.Makespan = per(func(x *result) float64 { return x.Makespan })
	y.Least, y.Most = results[0].Makespan, results[0].Makespan
	for _, x := range results {
		y.Least, y.Most = min(y.Least, x.Makespan), max(y.Most, x.Makespan)
		y.Verified += x.Verified
		y.Expected += x.Expected
	}
	y.Mean = per(func(x *result) float64 { return x.Mean })
	y.Ratio = per(func(x *result) float64 { return x.Ratio })
	y.Wire = per(func(x *result) float64 { return float64(x.OriginWire) / size })
	y.Payload = per(func(x *result) float64 { return float64(x.OriginPayload) / size })
	y.OriginCPU = per(func(x *result) float64 { return x.OriginCPU })
	y.InWire = per(func(x *result) (most float64) {
		for _, z := range x.Sites {
			most = max(most, float64(z.InWire)/size)
		}
		return most
	})
	y.Ingress = per(func(x *result) (most float64) {
		for _, z := range x.Sites {
			most = max(most, float64(z.Inside)/size)
		}
		return most
	})
	of := func(f func(machineShow) float64, late bool) func(*result) float64 {
		return func(x *result) (most float64) {
			for _, m := range x.Machines {
				if m.Late == late && !m.Vanished {
					most = max(most, f(m))
				}
			}
			return most
		}
	}
	y.Slowest = per(of(func(m machineShow) float64 { return m.Seconds }, false))
	y.Late = per(of(func(m machineShow) float64 { return m.Seconds }, true))
	y.Wait = per(func(x *result) float64 {
		if x.Makespan == 0 || x.Programs == 0 {
			return 0
		}
		return x.CPUWait / float64(x.Programs) / x.Makespan
	})
	y.Peak = per(of(func(m machineShow) float64 { return float64(m.Peak) }, false))
	y.Own = per(of(func(m machineShow) float64 { return float64(m.Own) }, false))
	y.CPU = per((*result).cpuEach)
	return y
}

// report prints a scenario's table, draws its pictures, and counts missed goals.
func (l *lab) report(s *scenario, contenders []contender, results []*result) (missed int, err error) {
	var all []summary
	for _, c := range contenders {
		own := roundsOf(c.name, results)
		all = append(all, summarize(s, c, own))
		if l.picture != "" && !c.simulated() {
			if err := os.MkdirAll(l.picture, 0o755); err != nil {
				return 0, err
			}
			path := filepath.Join(l.picture, s.Name+"-"+c.file()+".svg")
			if err := os.WriteFile(path, draw(s, own[len(own)/2]), 0o644); err != nil {
				return 0, err
			}
		}
	}
	missed = judge(s.Goal, all, results)
	if l.json {
		for _, y := range all {
			if err := json.NewEncoder(l.out).Encode(struct {
				Event string `json:"event"`
				summary
			}{"summary", y}); err != nil {
				return 0, err
			}
		}
		if l.why { // every number of it is in the rounds' JSON: this is for a person
			for _, x := range results {
				fmt.Fprint(l.talk, explain(x))
			}
		}
		return missed, nil
	}
	fmt.Fprintf(l.out, "\n%s: %s\n", s.Name, s.About)
	if b := s.bound(); b > 0 {
		fmt.Fprintf(l.out, "T_min %.2f s in bits of content; headers make it %.2f s\n", b, b*headers)
	}
	table(l.out, s, all)
	for _, y := range all {
		for _, v := range y.Goals {
			fmt.Fprintf(l.out, "  %s: %s\n", y.Contender, v)
		}
	}
	if l.why {
		for _, x := range results {
			fmt.Fprint(l.out, explain(x))
		}
	}
	return missed, nil
}

func table(out io.Writer, s *scenario, all []summary) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	columns := []string{"", "rounds", "verified", "makespan", "range", "mean"}
	bound := all[0].Bound > 0
	if bound {
		columns = append(columns, "/ T_min")
	} else {
		columns = append(columns, "MiB/s")
	}
	columns = append(columns, "origin wire", "payload")
	if len(s.Sites) > 0 {
		columns = append(columns, "ingress wire", "payload")
	}
	columns = append(columns, "slowest", "cpu each", "cpu origin", "cpu wait", "rss", "of it own")
	fmt.Fprintln(w, strings.Join(columns, "\t")+"\t")
	for _, y := range all {
		row := []string{y.Contender, fmt.Sprint(y.Rounds), fmt.Sprintf("%d/%d", y.Verified, y.Expected), seconds(y.Makespan),
			digits(y.Least) + "–" + digits(y.Most), seconds(y.Mean)}
		if bound {
			row = append(row, fmt.Sprintf("%.3f", y.Ratio))
		} else {
			row = append(row, fmt.Sprintf("%.0f", float64(s.Size)/(1<<20)/y.Makespan))
		}
		row = append(row, known(y.Wire), known(y.Payload))
		if len(s.Sites) > 0 {
			row = append(row, known(y.InWire), known(y.Ingress))
		}
		row = append(row, seconds(y.Slowest))
		if y.Contender == simulatedContender {
			row = append(row, "–", "–", "–")
		} else {
			row = append(row, fmt.Sprintf("%.2f s", y.CPU), fmt.Sprintf("%.2f s", y.OriginCPU), fmt.Sprintf("%.2f", y.Wait))
		}
		row = append(row, mebibytes(y.Peak), mebibytes(y.Own))
		fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
	}
	w.Flush()
}

// digits are three that mean something.
func digits(x float64) string {
	if x < 1 {
		return fmt.Sprintf("%.3f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

func seconds(x float64) string { return digits(x) + " s" }

// mebibytes of memory; processes that end at once leave none to be seen.
func mebibytes(x float64) string {
	if x == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f MiB", x/(1<<20))
}

func known(x float64) string {
	if x == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3f", x)
}
