package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/swarm"
)

// runServer runs a server on a free port of loopback until the test ends.
func runServer(t *testing.T, cfg ServeConfig) *Server {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	s, err := NewServer(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// One port is tracker, web server and peer at once, and a peer finds all three by it.
func TestOnePortServesAPeer(t *testing.T) {
	state := t.TempDir()
	s := runServer(t, ServeConfig{StateDir: state, Tracker: true, Plain: true, Swarm: swarm.Config{Role: swarm.RoleOrigin}, Version: "test"})
	path := filepath.Join(t.TempDir(), "content.bin")
	want := strings.Repeat("content of the release\n", 50_000)
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := s.Seeder().AddPath(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	torrent, err := s.Seeder().Torrent(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"http", "udp"} {
		t.Run(scheme, func(t *testing.T) {
			p, err := NewPeer(context.Background(), PeerConfig{Listen: "127.0.0.1:0"})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			done := make(chan error, 1)
			go func() { done <- p.Run(ctx) }()
			defer func() { cancel(); <-done }()
			dir := t.TempDir()
			tr, err := p.Add(swarm.Spec{Torrent: torrent, Dir: dir, Trackers: [][]string{{fmt.Sprintf("%s://%s/announce", scheme, s.Addr())}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := tr.Wait(ctx); err != nil {
				t.Fatalf("%v; trackers %+v", err, tr.Trackers())
			}
			if got, err := os.ReadFile(filepath.Join(dir, "content.bin")); err != nil || string(got) != want {
				t.Errorf("%d bytes, %v; want the content", len(got), err)
			}
		})
	}
	for name, client := range map[string]*http.Client{
		"http://" + s.Addr().String(): http.DefaultClient,
		"http://control": {Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(state, SocketName))
		}}},
	} {
		resp, err := client.Get(name + "/api/v1/status")
		if err != nil {
			t.Fatal(err)
		}
		var st Status
		err = json.NewDecoder(resp.Body).Decode(&st)
		resp.Body.Close()
		if err != nil || st.Role != "origin" || len(st.Contents) != 1 || st.Contents[0].SentPeer < int64(len(want)) || st.Tracker == nil {
			t.Errorf("status from %s: %+v, %v; want the origin with what it sent", name, st, err)
		}
	}
	if st, err := os.Stat(filepath.Join(state, SocketName)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("control socket: %v, %v; want mode 0600", st.Mode(), err)
	}
}

// A tracker alone serves what its list names, and reads the list again when it changes.
func TestAllowList(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "allow")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	v1, v2 := strings.Repeat("ab", 20), strings.Repeat("cd", 32)
	write("# ours\n" + v1 + "  # a release\n\n" + v2 + "\n")
	l := &followed[hashSet]{path: path, parse: parseAllow}
	if err := l.load(); err != nil {
		t.Fatal(err)
	}
	a, b := [20]byte([]byte(strings.Repeat("\xab", 20))), [20]byte([]byte(strings.Repeat("\xcd", 20)))
	if set := l.get(); !set[a] || !set[b] || len(set) != 2 {
		t.Errorf("the list allows %v, which is not what it names", set)
	}
	write(v1 + "\nnonsense\n")
	if err := l.load(); err == nil || !strings.Contains(err.Error(), "line 2:") {
		t.Errorf("error for a bad line = %v, want its number", err)
	}
	if !l.get()[b] {
		t.Error("a list that cannot be read has replaced the one in force")
	}
}

func TestStateOfALaterVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "version"), []byte("99\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewServer(context.Background(), ServeConfig{Listen: "127.0.0.1:0", StateDir: dir}); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("error = %v, want one about the version", err)
	}
}

func FuzzAllowList(f *testing.F) {
	f.Add(strings.Repeat("ab", 20) + " # x\n" + strings.Repeat("cd", 32))
	f.Fuzz(func(t *testing.T, text string) {
		if set, err := parseAllow(strings.NewReader(text)); err == nil && len(set) > strings.Count(text, "\n")+1 {
			t.Errorf("%d hashes from %d lines", len(set), strings.Count(text, "\n")+1)
		}
	})
}

func FuzzTokens(f *testing.F) {
	f.Add("one # x\n\ntwo-2_")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := parseTokens(strings.NewReader(text))
		for token := range set {
			if err == nil && !strings.Contains(text, token) || token == "" || len(token) > 64 {
				t.Errorf("the token %q, which is not in %q", token, text)
			}
		}
	})
}
