package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/swarmtest"
	"shoal/tracker"
)

func announceQuery(n int, more string) string {
	return fmt.Sprintf("info_hash=aaaaaaaaaaaaaaaaaa%02d&peer_id=-XX0000-%012d&port=%d&left=1%s", n%10, n, 1024+n, more)
}

func getBody(t *testing.T, client *http.Client, url string, header ...string) string {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(header) > 0 {
		req.Header.Set(header[0], header[1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return string(b)
}

// All doors at once, while peers are counted, saved and the files are read again: nothing is lost, and with -race nothing races.
func TestTrackerUnderLoad(t *testing.T) {
	s := runServer(t, ServeConfig{Tracker: true, Open: true, StateDir: t.TempDir(), Version: "test"})
	addr := s.Addr().String()
	const each = 300
	var load sync.WaitGroup
	next := 0
	run := func(announce func(n int) error) {
		first := next
		next += each
		load.Go(func() {
			for n := first; n < first+each; n++ {
				if err := announce(n); err != nil {
					t.Errorf("peer %d: %v", n, err)
					return
				}
			}
		})
	}
	overHTTP := func(close bool) func(n int) error {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: close}, Timeout: 20 * time.Second}
		t.Cleanup(client.CloseIdleConnections)
		return func(n int) error {
			resp, err := client.Get("http://" + addr + "/announce?" + announceQuery(n, ""))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if !bytes.Contains(b, []byte("8:interval")) {
				err = fmt.Errorf("%q, %v", b, err)
			}
			return err
		}
	}
	for range 2 {
		run(overHTTP(true))
		run(overHTTP(false))
		c, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		run(func(n int) error { return announceOverUDP(c, n) })
	}
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			s.Status()
			s.metrics(httptest.NewRecorder())
			if err := s.tracker.Save(io.Discard); err != nil {
				t.Error(err)
			}
		}
	})
	load.Wait()
	close(stop)
	watch.Wait()
	st := s.tracker.Stats()
	if st.Peers != next || st.Swarms != 10 || st.AnnouncesHTTP != uint64(next*2/3) || st.AnnouncesUDP != uint64(next/3) || st.Malformed != 0 {
		t.Errorf("%+v, want %d peers in 10 swarms, a third announced over UDP", st, next)
	}
}

// announceOverUDP connects and announces (BEP 15).
func announceOverUDP(c net.Conn, n int) error {
	c.SetDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 2048)
	if _, err := c.Write([]byte("\x00\x00\x04\x17\x27\x10\x19\x80\x00\x00\x00\x00abcd")); err != nil {
		return err
	}
	if k, err := c.Read(buf); err != nil || k != 16 {
		return fmt.Errorf("connect: %d bytes, %v", k, err)
	}
	pkt := append(bytes.Clone(buf[8:16]), "\x00\x00\x00\x01abcd"...)
	pkt = fmt.Appendf(pkt, "aaaaaaaaaaaaaaaaaa%02d-XX0000-%012d", n%10, n)
	pkt = append(pkt, make([]byte, 8)...)
	pkt = binary.BigEndian.AppendUint64(pkt, 1)
	pkt = append(pkt, make([]byte, 20)...)
	pkt = binary.BigEndian.AppendUint32(pkt, 0xffffffff)
	pkt = binary.BigEndian.AppendUint16(pkt, uint16(1024+n))
	if _, err := c.Write(pkt); err != nil {
		return err
	}
	if k, err := c.Read(buf); err != nil || k < 20 || buf[3] != 1 {
		return fmt.Errorf("announce: %q, %v", buf[:k], err)
	}
	return nil
}

func TestTrackerSpeaksTLSAndBelievesItsProxies(t *testing.T) {
	cert, key, pool := swarmtest.Certificate(t)
	s := runServer(t, ServeConfig{Tracker: true, Open: true, TLSCert: cert, TLSKey: key, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"}, ForceAttemptHTTP2: true}}
	defer secure.CloseIdleConnections()
	for scheme, client := range map[string]*http.Client{"https": secure, "http": http.DefaultClient} {
		body := getBody(t, client, fmt.Sprintf("%s://%s/announce?%s", scheme, s.Addr(), announceQuery(1, "")), "X-Forwarded-For", "6.6.6.6, 192.0.2.77")
		if !strings.Contains(body, "11:external ip4:\xc0\x00\x02\x4d") {
			t.Errorf("%s: %q, want the address that the proxy names", scheme, body)
		}
	}
	if _, err := NewServer(t.Context(), ServeConfig{Listen: "127.0.0.1:0", Tracker: true, Open: true, TLSCert: cert, TLSKey: cert}); err == nil {
		t.Error("a key that is none is accepted")
	}
}

func TestTrackerKeepsItsPeersOverARestart(t *testing.T) {
	state := t.TempDir()
	for round := range 2 {
		s, err := NewServer(t.Context(), ServeConfig{Listen: "127.0.0.1:0", Tracker: true, Open: true, StateDir: state})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s.tracker.Stats().Peers, round*3; got != want {
			t.Errorf("start %d: %d peers, want %d", round, got, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		for n := range 3 {
			getBody(t, http.DefaultClient, fmt.Sprintf("http://%s/announce?%s", s.Addr(), announceQuery(n, "")))
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(state, peersName), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(t.Context(), ServeConfig{Listen: "127.0.0.1:0", Tracker: true, Open: true, StateDir: state})
	if err != nil {
		t.Fatalf("a damaged snapshot keeps the tracker from starting: %v", err)
	}
	s.Close()
}

func TestTrackerKeepsItsPeersOverAKill(t *testing.T) {
	cfg := ServeConfig{Listen: "127.0.0.1:0", Tracker: true, Open: true, StateDir: t.TempDir()}
	s := runServer(t, cfg)
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // t.Context() is done by then
	wg.Go(func() { s.keepPeers(t.Context(), 10*time.Millisecond) })
	for n := range 3 {
		getBody(t, http.DefaultClient, fmt.Sprintf("http://%s/announce?%s", s.Addr(), announceQuery(n, "")))
	}
	restored := func() int {
		f, err := os.Open(filepath.Join(cfg.StateDir, peersName))
		if err != nil {
			return 0
		}
		defer f.Close()
		other := tracker.New(tracker.Config{})
		if err := other.Restore(f); err != nil {
			t.Fatal(err)
		}
		return other.Stats().Peers
	}
	for restored() != 3 { // or the test's time is over
		time.Sleep(10 * time.Millisecond)
	}
}

// Every metric has a sentence and a kind, and no other lines are there.
// seenMetrics says how many values each metric has, and holds all of them against the format.
func seenMetrics(t *testing.T, text string) map[string]int {
	t.Helper()
	var name string
	seen := map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch f := strings.Fields(line); {
		case strings.HasPrefix(line, "# HELP "):
			name = f[2]
			if !strings.HasPrefix(name, "shoal_") || !strings.HasSuffix(line, ".") || len(f) < 6 {
				t.Errorf("no sentence: %s", line)
			}
		case strings.HasPrefix(line, "# TYPE "):
			if f[2] != name || f[3] != "gauge" && f[3] != "counter" || (f[3] == "counter") != strings.HasSuffix(name, "_total") {
				t.Errorf("of %s: %s", name, line)
			}
		default:
			if metric, _, _ := strings.Cut(f[0], "{"); metric != name {
				t.Errorf("of %s: %s", name, line)
			}
			seen[name]++
		}
	}
	return seen
}

func TestMetrics(t *testing.T) {
	s := runServer(t, ServeConfig{Tracker: true, Plain: true, StateDir: t.TempDir(), Version: "test \"1\""})
	path := filepath.Join(t.TempDir(), "content.bin")
	if err := os.WriteFile(path, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seeder().AddPath(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	text := getBody(t, http.DefaultClient, fmt.Sprintf("http://%s/metrics", s.Addr()))
	seen := seenMetrics(t, text)
	if len(seen) < 10 || seen["shoal_content_sent_bytes_total"] != 2 || seen["shoal_tracker_peers"] != 3 || !strings.Contains(text, `version="test \"1\""`) {
		t.Errorf("%v in\n%s", seen, text)
	}
	var st Status
	if err := json.Unmarshal([]byte(getBody(t, http.DefaultClient, fmt.Sprintf("http://%s/api/v1/status", s.Addr()))), &st); err != nil || st.Tracker == nil {
		t.Errorf("status: %+v, %v", st, err)
	}
}
