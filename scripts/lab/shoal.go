//go:build linux

package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// shoalEvent is what we read of a line of shoal's --json.
type shoalEvent struct {
	Event   string
	Code    int
	Message string
	Done    int64
	Wasted  int64              `json:"wasted_bytes"`
	From    map[string]int64   `json:"from"`
	Idle    map[string]float64 `json:"idle_seconds"`
	Held    map[string]float64 `json:"held_seconds"`
	Lost    [][2]int           `json:"lost"`
	URL     string
}

// serveShoal starts shoal serve on the origin. In a mixed swarm it seeds the torrent that all have.
func serveShoal(ctx context.Context, r *round) error {
	h := r.net.origin
	args := []string{"serve", "--json", "--public-url", fmt.Sprintf("http://%s:7070", h.addr)}
	ready := make(chan struct{})
	line := func(text string) {
		var e shoalEvent
		if json.Unmarshal([]byte(text), &e) != nil {
			return
		}
		switch e.Event {
		case "serving":
			r.url = e.URL
		case "ready", "seeding":
			close(ready)
		}
	}
	if r.contender.byTracker() {
		args = []string{"seed", "--json", "--listen", ":7070", r.torrent, r.content}
	} else {
		args = append(args, r.scenario.Shoal.Serve...)
		if n := r.pieceLength(); n > 0 {
			args = append(args, "--piece-length", fmt.Sprint(int64(n)))
		}
		if b := r.scenario.Shoal.Budget; b > 0 {
			args = append(args, "--origin-budget", fmt.Sprint(b))
		}
		args = append(args, r.content)
	}
	args = append(args, r.shoalFlags()...)
	p, err := r.start(ctx, h, line, r.shoal(), args...)
	if err != nil {
		return err
	}
	r.originProcess = p
	if err := r.await(ctx, p, ready); err != nil {
		return err
	}
	if r.contender.byTracker() {
		return nil
	}
	r.payload = func() (int64, int64, error) {
		return sentByShoal(ctx, filepath.Join(h.dir(r), "state", "control.sock"))
	}
	// What others in the swarm are given; shoal's own machines fetch it themselves.
	r.torrent = filepath.Join(r.dir, "served.torrent")
	return h.ns.inside(func() error {
		c, err := net.DialTimeout("tcp", h.addr.String()+":7070", 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(c, "GET /%s.torrent HTTP/1.0\r\n\r\n", filepath.Base(r.content))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the origin's .torrent: %s", resp.Status)
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
		if err != nil {
			return err
		}
		return os.WriteFile(r.torrent, b, 0o644)
	})
}

// shoal is the program.
func (r *round) shoal() string { return cmp.Or(r.contender.shoal, r.lab.shoal) }

func (r *round) shoalFlags() []string {
	if r.lab.debug {
		return []string{"--log-level", "debug"}
	}
	return nil
}

// sentByShoal asks a node for the content bytes that it gave, to peers and over HTTP.
func sentByShoal(ctx context.Context, socket string) (peers, web int64, err error) {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	q, err := http.NewRequestWithContext(ctx, "GET", "http://shoal/api/v1/status", nil)
	if err != nil {
		return 0, 0, err
	}
	resp, err := c.Do(q)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	var s struct {
		Contents []struct {
			Peers int64 `json:"sent_peers_bytes"`
			HTTP  int64 `json:"sent_http_bytes"`
		}
		Edge *struct {
			Requests struct {
				Peers int64 `json:"peer_bytes"`
				Hits  int64 `json:"hit_bytes"`
			}
		}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&s); err != nil {
		return 0, 0, err
	}
	if s.Edge != nil {
		return s.Edge.Requests.Peers, s.Edge.Requests.Hits, nil
	}
	if len(s.Contents) != 1 {
		return 0, 0, fmt.Errorf("the origin's status has %d contents", len(s.Contents))
	}
	return s.Contents[0].Peers, s.Contents[0].HTTP, nil
}

// getShoal starts shoal get on a machine.
func getShoal(ctx context.Context, r *round, m *machine) (*process, error) {
	source := r.url
	if r.contender.origin != "shoal" || r.contender.byTracker() {
		source = r.torrent
	}
	args := []string{"get", "--json", "--output", m.out, "--peers", "all", source}
	if r.scenario.stay() {
		args = append(args, "--seed-for", "1h")
	}
	if r.scenario.Shoal.Sites && m.host.spec.Site != "" {
		args = append(args, "--site", m.host.spec.Site)
	}
	args = append(args, r.scenario.Shoal.Get...)
	args = append(args, r.shoalFlags()...)
	return r.start(ctx, m.host, m.hear, r.shoal(), args...)
}

// hear takes in a line of get --json.
func (m *machine) hear(text string) {
	var e shoalEvent
	if json.Unmarshal([]byte(text), &e) != nil {
		return
	}
	switch e.Event {
	case "progress":
		m.done.Store(e.Done)
	case "done":
		m.mu.Lock()
		m.from, m.idle, m.held, m.wasted = e.From, e.Idle, e.Held, e.Wasted
		m.mu.Unlock()
		m.finish(time.Now())
	case "error":
		m.mu.Lock()
		m.lost = e.Lost
		m.mu.Unlock()
		m.fail(errors.New(e.Message), e.Code)
	}
}
