//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// result is what one round brought. Sizes are bytes, times seconds; the names in JSON are not changed.
type result struct {
	Scenario  string  `json:"scenario"`
	Contender string  `json:"contender"`
	Round     int     `json:"round"`
	Simulated bool    `json:"simulated,omitempty"` // what is not simulated is 0 then
	Size      int64   `json:"size_bytes"`
	Bound     float64 `json:"t_min_seconds"` // 0: there is none
	Makespan  float64 `json:"makespan_seconds"`
	Mean      float64 `json:"mean_seconds"`
	First     float64 `json:"first_seconds"`
	Ratio     float64 `json:"ratio"` // makespan / t_min
	Verified  int     `json:"verified"`
	Expected  int     `json:"expected"` // machines that did not vanish

	OriginWire    int64         `json:"origin_wire_bytes"`
	OriginPayload int64         `json:"origin_payload_bytes"` // 0: not known
	OriginHTTP    int64         `json:"origin_http_bytes"`    // part of it
	OriginCPU     float64       `json:"origin_cpu_seconds"`
	OriginPeak    int64         `json:"origin_rss_bytes"`
	Sites         []siteResult  `json:"sites,omitempty"`
	Machines      []machineShow `json:"machines"`
	Links         []linkResult  `json:"links"`
	Programs      int           `json:"programs"`
	CPUWait       float64       `json:"cpu_wait_seconds"` // all programs' threads together, while they could have run
	Occupied      float64       `json:"cpu_occupied"`     // share of the computer's processors that the programs used

	series  []sample
	begin   time.Time
	details string // of a simulated round: what there is to explain
}

type siteResult struct {
	Name    string `json:"name"`
	InWire  int64  `json:"in_wire_bytes"`
	OutWire int64  `json:"out_wire_bytes"`
	Inside  int64  `json:"in_payload_bytes"` // as shoal's machines count it; 0: not known
}

type machineShow struct {
	Name     string             `json:"name"`
	Program  string             `json:"program"`
	Site     string             `json:"site,omitempty"`
	Arrived  float64            `json:"arrived_seconds"`
	Seconds  float64            `json:"seconds"` // from its arrival to its finish; 0: it did not finish
	Vanished bool               `json:"vanished,omitempty"`
	Late     bool               `json:"late,omitempty"` // it came when others had finished
	Error    string             `json:"error,omitempty"`
	Code     int                `json:"exit_code,omitempty"`
	CPU      float64            `json:"cpu_seconds"`
	Peak     int64              `json:"rss_bytes"`
	Own      int64              `json:"rss_anon_bytes"`
	From     map[string]int64   `json:"from,omitempty"`
	Wasted   int64              `json:"wasted_bytes,omitempty"`
	Idle     map[string]float64 `json:"idle_seconds,omitempty"`
	Held     map[string]float64 `json:"held_seconds,omitempty"`
	Lost     [][2]int           `json:"lost,omitempty"` // first and last of each run of pieces that it says nobody has

	index int // among the round's machines, poisoners counted, as samples have them
}

// linkResult is one direction of a link. Phases are tenths of the makespan.
type linkResult struct {
	Name    string      `json:"name"`
	Rate    float64     `json:"bits_per_second"` // 0: unshaped
	Wire    int64       `json:"wire_bytes"`
	Busy    float64     `json:"busy"`    // share of what it could have carried
	Phases  [10]float64 `json:"phases"`  // the same, by tenths
	Waiting float64     `json:"waiting"` // share of the moments in which something stood in its queue
}

// result compares what has arrived with what was sent, and puts all figures together.
func (r *round) result() (*result, error) {
	s := r.scenario
	x := &result{Scenario: s.Name, Contender: r.contender.name, Round: r.number, Size: int64(s.Size), Bound: s.bound(),
		OriginCPU: r.originProcess.cpu.Seconds(), OriginPeak: r.originProcess.peak.Load(), OriginPayload: r.sent + r.sentWeb, OriginHTTP: r.sentWeb,
		series: r.watch.series, begin: r.begin}
	var last time.Time
	var problems error
	for i, m := range r.machines {
		if m.poisoner {
			continue
		}
		show := machineShow{Name: m.host.name, Site: m.host.spec.Site, Vanished: m.gone, Late: m.host.spec.After > 0, index: i,
			Program: r.contender.machines[i%len(r.contender.machines)], From: m.from, Wasted: m.wasted, Idle: m.idle, Held: m.held, Lost: m.lost, Code: m.code}
		if p := m.running(); p != nil { // else its time did not come
			show.Arrived = m.arrived.Sub(r.begin).Seconds()
			show.CPU, show.Peak, show.Own = p.cpu.Seconds(), p.peak.Load(), p.own.Load()
		}
		if m.err != nil && !m.gone {
			show.Error = m.err.Error()
		}
		if !m.gone {
			x.Expected++
		}
		if m.hasFinished() {
			show.Seconds = m.finished.Sub(m.arrived).Seconds()
			if m.finished.After(last) && !m.gone {
				last = m.finished
			}
			if err := same(r.content, r.file(m)); err != nil {
				problems = errors.Join(problems, fmt.Errorf("%s in %s by %s says that it is complete: %w", m.host.name, s.Name, r.contender.name, err))
			} else if !m.gone {
				x.Verified++
				x.Mean += show.Seconds
				if x.First == 0 || show.Seconds < x.First {
					x.First = show.Seconds
				}
			}
		}
		x.Machines = append(x.Machines, show)
	}
	if problems != nil {
		return nil, problems
	}
	x.Programs = len(r.running)
	for _, p := range r.running {
		x.CPUWait += time.Duration(p.waited.Load()).Seconds()
		x.Occupied += p.cpu.Seconds()
	}
	if x.Verified > 0 {
		x.Mean /= float64(x.Verified)
		x.Makespan = last.Sub(r.begin).Seconds()
		if x.Bound > 0 {
			x.Ratio = x.Makespan / x.Bound
		}
	}
	if x.Verified == 0 {
		last = r.watch.series[len(r.watch.series)-1].at
	}
	x.Occupied /= last.Sub(r.begin).Seconds() * float64(runtime.NumCPU())
	r.links(x, last)
	for _, site := range s.Sites {
		y := siteResult{Name: site.Name}
		for _, l := range x.Links {
			switch l.Name {
			case "site " + site.Name + " down":
				y.InWire = l.Wire
			case "site " + site.Name + " up":
				y.OutWire = l.Wire
			}
		}
		for _, m := range x.Machines {
			if m.Site == site.Name && m.From != nil {
				y.Inside += m.From["origin"] + m.From["edges"] + m.From["peers"]
			}
		}
		x.Sites = append(x.Sites, y)
	}
	return x, nil
}

// links sums up what the watch has seen between the beginning and the end: the last machine's finish.
func (r *round) links(x *result, end time.Time) {
	w := r.watch
	first, last := w.series[0], w.series[len(w.series)-1]
	x.OriginWire = int64(last.carried[0] - first.carried[0])
	for i, l := range w.links {
		y := linkResult{Name: l.name, Rate: float64(l.rate), Wire: int64(last.carried[i] - first.carried[i])}
		if l.rate > 0 {
			waiting, n := 0, 0
			for k := range y.Phases {
				from := r.begin.Add(end.Sub(r.begin) * time.Duration(k) / 10)
				to := r.begin.Add(end.Sub(r.begin) * time.Duration(k+1) / 10)
				carried := w.carriedAt(i, to) - w.carriedAt(i, from)
				y.Phases[k] = 8 * carried / to.Sub(from).Seconds() / float64(l.rate)
				y.Busy += y.Phases[k] / 10
			}
			for _, s := range w.series {
				if s.at.After(r.begin) && s.at.Before(end) {
					n++
					if s.backlog[i] > 0 {
						waiting++
					}
				}
			}
			y.Waiting = float64(waiting) / float64(max(n, 1))
		}
		x.Links = append(x.Links, y)
	}
}

// carriedAt is how much a link had carried at a time, between the samples around it.
func (w *watch) carriedAt(i int, at time.Time) float64 {
	before := w.series[0]
	for _, s := range w.series {
		if s.at.After(at) {
			if s.at == before.at {
				break
			}
			share := float64(at.Sub(before.at)) / float64(s.at.Sub(before.at))
			return float64(before.carried[i]) + max(0, share)*float64(s.carried[i]-before.carried[i])
		}
		before = s
	}
	return float64(before.carried[i])
}

// same says whether two files have the same bytes.
func same(want, got string) error {
	a, err := os.Open(want)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(got)
	if err != nil {
		return err
	}
	defer b.Close()
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); ; {
		n, errA := io.ReadFull(a, x)
		k, errB := io.ReadFull(b, y)
		if n != k || !bytes.Equal(x[:n], y[:k]) {
			return fmt.Errorf("%s differs from what was sent, within a MiB of byte %d", got, at)
		}
		at += int64(n)
		switch {
		case errA == nil && errB == nil:
		case errA != nil && (errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF)):
			return nil
		default:
			return errors.Join(errA, errB)
		}
	}
}
