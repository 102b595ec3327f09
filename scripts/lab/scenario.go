//go:build linux

package main

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// scenario is a network, what is to be delivered over it, and what happens meanwhile. Its file is TOML;
// usage.txt says what each key means.
type scenario struct {
	Name        string   `toml:"-"`
	About       string   `toml:"about"`
	Size        size     `toml:"size"`
	PieceLength size     `toml:"piece-length"`
	Rounds      int      `toml:"rounds"`
	Timeout     span     `toml:"timeout"`
	Seed        uint64   `toml:"seed"`
	Contenders  []string `toml:"contenders"`
	Bound       span     `toml:"bound"`
	Leave       bool     `toml:"leave"`

	Origin   origin    `toml:"origin"`
	Sites    []site    `toml:"site"`
	Machines []group   `toml:"machines"`
	Events   []event   `toml:"event"`
	Shoal    shoalArgs `toml:"shoal"`
	Goal     goal      `toml:"goal"`
}

type origin struct {
	Up   rate `toml:"up"`
	Down rate `toml:"down"`
}

// site is a network of its own behind one uplink.
type site struct {
	Name string `toml:"name"`
	Up   rate   `toml:"up"`
	Down rate   `toml:"down"`
}

// group is machines that are alike.
type group struct {
	Count    int     `toml:"count"`
	Up       rate    `toml:"up"`
	Down     rate    `toml:"down"`
	Site     string  `toml:"site"`
	NAT      bool    `toml:"nat"`
	Arrive   span    `toml:"arrive-within"`  // at random times within so long
	After    int     `toml:"after-finished"` // once so many others have finished
	Vanish   float64 `toml:"vanish"`         // share that goes away in the middle
	Poisoner bool    `toml:"poisoner"`
}

// event is something that happens to the origin and machines while they are at it.
type event struct {
	At     span     `toml:"at"`            // so long after the start
	Copies float64  `toml:"origin-copies"` // once the origin's link has carried so many copies' payload
	Kill   []string `toml:"kill"`
	Unplug []string `toml:"unplug"`
}

// shoalArgs are more arguments for shoal's processes.
type shoalArgs struct {
	Serve  []string `toml:"serve"`
	Get    []string `toml:"get"`
	Sites  bool     `toml:"sites"`         // machines of a site are told its name
	Budget float64  `toml:"origin-budget"` // copies; for the bound, and given to serve
}

// goal is what shoal should reach. Zero: no goal.
type goal struct {
	Of         string   `toml:"of"`           // the contender that it is for; "": shoal
	Ratio      float64  `toml:"ratio"`        // makespan / T_min
	Seconds    float64  `toml:"seconds"`      // makespan
	Origin     float64  `toml:"origin"`       // payload sent by the origin / content
	OriginWire float64  `toml:"origin-wire"`  // the same on the wire
	Ingress    float64  `toml:"ingress"`      // payload into each site / content
	Own        float64  `toml:"own"`          // each machine's finish - arrival / T_min
	LateOwn    float64  `toml:"late-seconds"` // of machines that come after-finished
	Lost       bool     `toml:"may-be-lost"`  // a machine may also end with exit code 6 and name what is lost
	Versus     []versus `toml:"versus"`
}

// versus compares with another contender of the same run.
type versus struct {
	Of        string  `toml:"of"` // what is compared with it; "": what the goals are for
	Contender string  `toml:"contender"`
	Makespan  float64 `toml:"makespan"` // at most so many times the other's
	CPU       float64 `toml:"cpu"`      // per machine
	Either    bool    `toml:"either"`   // it is enough if one such comparison holds
}

//go:embed scenarios/*.toml
var shipped embed.FS

// load reads a scenario: one that is shipped by its name, or any by its file.
func load(name string) (*scenario, error) {
	var text []byte
	var err error
	if strings.HasSuffix(name, ".toml") {
		text, err = os.ReadFile(name)
	} else if text, err = shipped.ReadFile("scenarios/" + name + ".toml"); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no scenario %q: there are %s, and files that end in .toml", name, strings.Join(names(), ", "))
	}
	if err != nil {
		return nil, err
	}
	return parse(strings.TrimSuffix(path.Base(name), ".toml"), string(text))
}

// names are the scenarios that are shipped.
func names() (list []string) {
	entries, err := shipped.ReadDir("scenarios")
	if err != nil {
		panic(err) // what is embedded can be read
	}
	for _, e := range entries {
		list = append(list, strings.TrimSuffix(e.Name(), ".toml"))
	}
	return list
}

func parse(name, text string) (*scenario, error) {
	s := &scenario{Name: name, Rounds: 5, Timeout: span(3 * time.Minute), Seed: 1, Contenders: []string{"shoal"}, Goal: goal{Of: "shoal"}}
	meta, err := toml.Decode(text, s)
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", name, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("scenario %s: unknown key %s", name, unknown[0])
	}
	err = s.check()
	if meta.IsDefined("piece-length") && s.PieceLength == 0 { // not left out
		err = cmp.Or(err, errPieceLength)
	}
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", name, err)
	}
	return s, nil
}

var errPieceLength = errors.New("piece-length: a power of two from 16Ki")

const (
	maxHosts   = 250 // each network has a third byte of the addresses of its own
	maxVirtual = 20_000
	maxContent = 64 << 30
)

func (s *scenario) check() error {
	known := map[string]bool{"": true}
	for _, x := range s.Sites {
		if x.Name == "" || known[x.Name] || len(x.Name) > 8 || strings.ContainsAny(x.Name, " /.") {
			return fmt.Errorf("site %q needs a short name of its own", x.Name)
		}
		known[x.Name] = true
	}
	n := 0
	for _, g := range s.Machines {
		n += g.Count
		switch {
		case g.Count < 1:
			return errors.New("count: a group has at least one machine")
		case !known[g.Site]:
			return fmt.Errorf("machines at site %q, which is not described", g.Site)
		case g.Vanish < 0 || g.Vanish > 1:
			return errors.New("vanish is a share between 0 and 1")
		case g.NAT && g.Site != "":
			return errors.New("nat: only machines without a site can be behind NAT of their own")
		}
	}
	switch {
	case s.Size <= 0 || s.Size > maxContent:
		return errors.New("size: how much is to be delivered")
	case n < 1 || n+len(s.Sites) > maxVirtual:
		return fmt.Errorf("%d machines: want 1 to %d, sites counted too", n, maxVirtual)
	case s.Rounds < 1:
		return errors.New("rounds: at least one")
	case s.PieceLength != 0 && !s.PieceLength.ofPieces():
		return errPieceLength
	}
	hosts := []string{"origin"}
	for i := range n {
		hosts = append(hosts, machineName(i))
	}
	for _, e := range s.Events {
		if (e.At > 0) == (e.Copies > 0) {
			return errors.New("event: either at or origin-copies says when")
		}
		for _, h := range append(slices.Clone(e.Kill), e.Unplug...) {
			if !slices.Contains(hosts, h) {
				return fmt.Errorf("event: no host %q: there are origin and machine-1 to machine-%d", h, n)
			}
		}
	}
	return nil
}

// shrink makes everything smaller by a factor, so that T_min stays and the computer has less to do.
func (s *scenario) shrink(by float64) error {
	if by == 1 {
		return nil
	}
	if !(by > 0 && by < 1) {
		return errors.New("-scale: a factor below 1")
	}
	rates := []*rate{&s.Origin.Up, &s.Origin.Down}
	for i := range s.Sites {
		rates = append(rates, &s.Sites[i].Up, &s.Sites[i].Down)
	}
	for i := range s.Machines {
		rates = append(rates, &s.Machines[i].Up, &s.Machines[i].Down)
	}
	for _, r := range rates {
		*r *= rate(by)
	}
	s.Size = size(float64(s.Size) * by)
	return s.check()
}

// hosts is how many networks the lab would have to make.
func (s *scenario) hosts() int {
	n := len(s.Sites)
	for _, g := range s.Machines {
		n += g.Count
	}
	return n
}

func machineName(i int) string { return fmt.Sprintf("machine-%d", i+1) }
