package daemon

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/swarm"
)

// Limits by the time of day change when their time comes, whatever else happens.
func TestLimitsGoByTheTimeOfDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var set Limits
		if err := set.Set("limit-up", "08:00-18:00=5M,else=50M"); err != nil {
			t.Fatal(err)
		}
		node := swarm.New(swarm.Config{})
		b := newBounds(set, node, nil, nil, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.follow(ctx) }()
		time.Sleep(time.Second) // a moment after each hour
		for range 49 {
			now, want := time.Now(), int64(50_000_000)
			if h := now.Hour(); h >= 8 && h < 18 {
				want = 5_000_000
			}
			if up := node.Limits().Up; up != want {
				t.Errorf("at %v the limit is %d, want %d", now, up, want)
			}
			time.Sleep(time.Hour)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What the log says of --max-peers is what was in force, and is now, also where that is the role's own.
func TestTheLogNamesTheDefaultOfMaxPeers(t *testing.T) {
	var log strings.Builder
	node := swarm.New(swarm.Config{MaxPeers: 200})
	b := newBounds(Limits{}, node, nil, nil, slog.New(slog.NewTextHandler(&log, nil)))
	for _, c := range []struct {
		text, want string
		peers      int
	}{{"7", "max-peers.from=200 max-peers.to=7", 7}, {"0", "max-peers.from=7 max-peers.to=200", 200}} {
		log.Reset()
		if err := b.change(map[string]string{"max-peers": c.text}); err != nil {
			t.Fatal(err)
		}
		if got := node.Limits().MaxPeers; got != c.peers || !strings.Contains(log.String(), c.want) {
			t.Errorf("max-peers %s: %d in force and the log says %q, want %d and %q", c.text, got, log.String(), c.peers, c.want)
		}
	}
}

// What is no number of connections is told in words, whoever reads it: the flag, a configuration file, the control socket.
func TestParsePeers(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "1": 1, " 80 ": 80, "1000000": 1_000_000} {
		if n, err := ParsePeers(text); err != nil || n != want {
			t.Errorf("ParsePeers(%q) = %d, %v, want %d", text, n, err, want)
		}
	}
	for _, text := range []string{"-1", "+7", "1.5", "1K", "many", "1000001", "99999999999", "99999999999999999999999"} {
		var l Limits
		if err := l.Set("max-peers", text); err == nil || strings.Contains(err.Error(), "strconv") || !strings.Contains(err.Error(), text) {
			t.Errorf("max-peers %q: %v, want an error that names it", text, err)
		}
	}
}

// A limit that nothing would go by is refused, and not shown as if it held; the others that come with it are not set either.
func TestLimitsThatANodeLacksAreRefused(t *testing.T) {
	server := func(c ServeConfig) controlled {
		c.Listen = "127.0.0.1:0"
		s, err := NewServer(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	peer, err := NewPeer(t.Context(), PeerConfig{Swarm: swarm.Config{Upload: swarm.UploadOff}})
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"limit-up": "1M", "limit-down": "2M", "limit-lan": "3M", "min-rate": "4K", "max-peers": "5", "origin-budget": "6"}
	for _, c := range []struct {
		what  string
		node  controlled
		lacks []string
	}{
		{"serve", server(ServeConfig{Tracker: true, Plain: true}), []string{"min-rate"}},
		{"seed", server(ServeConfig{}), []string{"min-rate"}},
		{"tracker", server(ServeConfig{Tracker: true, Open: true}), LimitNames()},
		{"get", peer, []string{"origin-budget"}},
	} {
		for _, name := range LimitNames() {
			before := c.node.Status().Limits
			err := c.node.ChangeLimits(map[string]string{name: texts[name], "limit-up": "9M"})
			lacks := slices.Contains(c.lacks, name) || c.what == "tracker"
			if (err != nil) != lacks || lacks && (!strings.Contains(err.Error(), "no such limit") || before != c.node.Status().Limits) {
				t.Errorf("%s of %s: %v, and limits %+v; it lacks %v", name, c.what, err, c.node.Status().Limits, c.lacks)
			}
		}
	}
}
