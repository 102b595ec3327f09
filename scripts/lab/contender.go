//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// contender is a program, or a mix of programs, that delivers.
type contender struct {
	name        string   // as the user wrote it
	programs    []string // of the machines, in turn; the first is the origin's too
	pieceLength size     // 0: the scenario's
}

// programs are all there are. Each starts what offers the content on the origin, which must be ready when it
// returns, and what fetches it on a machine.
func programs() map[string]program {
	return map[string]program{
		"shoal":        {origin: serveShoal, machine: getShoal},
		"aria2":        {origin: seedAria2, machine: getAria2, torrent: true, needs: []string{"aria2c"}},
		"libtorrent":   {origin: seedLibtorrent, machine: getLibtorrent, torrent: true, needs: []string{python}},
		"transmission": {origin: seedTransmission, machine: getTransmission, torrent: true, needs: []string{"transmission-cli"}},
		"http":         {origin: serveNginx, machine: getCurl, needs: []string{"nginx", "curl"}},
	}
}

type program struct {
	origin  func(ctx context.Context, r *round) error
	machine func(ctx context.Context, r *round, m *machine) (*process, error)
	torrent bool     // it wants a .torrent with the tracker in it
	needs   []string // programs that must be installed
}

// parseContender reads what a user writes: a program, programs joined by + for a mixed swarm, and @SIZE for
// another piece length.
func parseContender(text string) (c contender, err error) {
	c.name = text
	names, length, given := strings.Cut(text, "@")
	if given {
		if err := c.pieceLength.UnmarshalText([]byte(length)); err != nil {
			return c, err
		}
		if c.pieceLength < 16<<10 || c.pieceLength&(c.pieceLength-1) != 0 {
			return c, fmt.Errorf("%s: a piece length is a power of two from 16Ki", text)
		}
	}
	all := programs()
	for name := range strings.SplitSeq(names, "+") {
		if _, ok := all[name]; !ok {
			return c, fmt.Errorf("no contender %q: there are shoal, aria2, libtorrent, transmission, http, their mixes (shoal+aria2), and others' piece lengths (aria2@256Ki)", name)
		}
		c.programs = append(c.programs, name)
	}
	return c, nil
}

// torrents says whether somebody needs a .torrent that names the tracker.
func (c contender) torrents() bool {
	for _, p := range c.programs {
		if programs()[p].torrent {
			return true
		}
	}
	return false
}

// write writes a file of a host.
func write(path, text string, mode os.FileMode) error { return os.WriteFile(path, []byte(text), mode) }
