//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// contender is a program, or a mix of programs, that delivers.
type contender struct {
	name        string   // as the user wrote it
	origin      string   // the origin's program
	machines    []string // the machines' programs, in turn
	pieceLength size     // 0: the scenario's
	shoal       string   // another shoal than the lab's; "": that one
}

// program starts what offers the content on the origin, which must be ready when origin returns, and what
// fetches it on a machine, if it can do that.
type program struct {
	origin  func(ctx context.Context, r *round) error
	machine func(ctx context.Context, r *round, m *machine) (*process, error)
	torrent bool     // it speaks BitTorrent
	needs   []string // programs that must be installed
}

// programs are all there are.
func programs() map[string]program {
	return map[string]program{
		"shoal":        {origin: serveShoal, machine: getShoal, torrent: true},
		"shoal-v1":     {origin: serveShoal, machine: getShoal, torrent: true},
		"edge":         {origin: serveEdge, torrent: true},
		"aria2":        {origin: seedAria2, machine: getAria2, torrent: true, needs: []string{"aria2c"}},
		"libtorrent":   {origin: seedLibtorrent, machine: getLibtorrent, torrent: true, needs: []string{python}},
		"transmission": {origin: seedTransmission, machine: getTransmission, torrent: true, needs: []string{"transmission-cli"}},
		"http":         {origin: serveNginx, machine: getCurl, needs: []string{"nginx", "curl"}},
		"http-sha256":  {origin: serveNginx, machine: getAndHash, needs: []string{"nginx", "curl", "openssl"}},
		"floor":        {origin: serveFloor, machine: getFloor},
	}
}

// parseContender reads what a user writes: a program, programs joined by + for a mixed swarm, another program of
// the origin before >, and @SIZE for another piece length; or shoal=PROGRAM, another build.
func parseContender(text string) (c contender, err error) {
	c.name = text
	if path, ok := strings.CutPrefix(text, "shoal="); ok {
		c.shoal, err = filepath.Abs(path)
		c.origin, c.machines = "shoal", []string{"shoal"}
		return c, err
	}
	if text == simulatedContender {
		c.origin, c.machines = text, []string{text}
		return c, nil
	}
	rest, length, given := strings.Cut(text, "@")
	if given {
		if err := c.pieceLength.UnmarshalText([]byte(length)); err != nil {
			return c, err
		}
		if !c.pieceLength.ofPieces() {
			return c, fmt.Errorf("%s: a piece length is a power of two from 16Ki", text)
		}
	}
	origin, machines, given := strings.Cut(rest, ">")
	if !given {
		machines = origin
		origin, _, _ = strings.Cut(origin, "+")
	}
	c.origin = origin
	c.machines = strings.Split(machines, "+")
	all := programs()
	for _, name := range append([]string{origin}, c.machines...) {
		if _, ok := all[name]; !ok {
			return c, fmt.Errorf("contender %s: no program %q: there are shoal, shoal-v1, edge, aria2, libtorrent, transmission, http, http-sha256 and floor, and simulated", text, name)
		}
	}
	for _, name := range c.machines {
		ok := true
		switch from, to := all[origin], all[name]; {
		case to.machine == nil:
			ok = false
		case origin == "floor" || name == "floor":
			ok = origin == name
		case origin == "http" || origin == "http-sha256":
		case to.torrent:
			ok = from.torrent
		default:
			ok = origin == "shoal"
		}
		if !ok {
			return c, fmt.Errorf("contender %s: %s cannot fetch from %s", text, name, origin)
		}
	}
	return c, nil
}

// programs are all that must be installed.
func (c contender) programs() []string { return append([]string{c.origin}, c.machines...) }

// ours says whether any of them is shoal.
func (c contender) ours() bool {
	return slices.ContainsFunc(c.programs(), func(p string) bool { return p == "shoal" || p == "shoal-v1" || p == "edge" })
}

// byTracker says whether the origin is a seed of a .torrent that the lab makes, with a tracker of its own. Shoal
// serves as an origin, unless it is to have the others' .torrent, or Transmission is among the machines: it refuses hybrids.
func (c contender) byTracker() bool {
	switch c.origin {
	case "shoal":
		return slices.Contains(c.machines, "transmission")
	case "http", "http-sha256", "floor":
		return false
	}
	return true
}

// webSeeded says whether the lab makes a .torrent that names the origin as a web seed and nothing else.
func (c contender) webSeeded() bool { return c.origin == "http" && programs()[c.machines[0]].torrent }

// pieceLength is what the contender's pieces are to have, or else the scenario's; 0: nobody says.
func (r *round) pieceLength() size { return cmp.Or(r.contender.pieceLength, r.scenario.PieceLength) }

// file is the contender's name for a file.
func (c contender) file() string { return strings.NewReplacer(">", "-to-", "/", "-").Replace(c.name) }

// write writes a file of a host.
func write(path, text string, mode os.FileMode) error { return os.WriteFile(path, []byte(text), mode) }
