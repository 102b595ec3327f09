package announce

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// opentracker is the tracker that others run: we announce to it, are found through it and leave it.
func TestOpentracker(t *testing.T) {
	swarmtest.Require(t, "interop", "opentracker")
	dir, err := os.MkdirTemp("", "opentracker") // it becomes another user, who must get there
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	hashes := [][20]byte{{1}, {2}}
	list := fmt.Sprintf("%x\n%x\n", hashes[0], hashes[1])
	if err := os.WriteFile(filepath.Join(dir, "list"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ln.Close()
	cmd := exec.Command("opentracker", "-i", "127.0.0.1", "-p", port, "-P", port, "-d", dir, "-w", "list")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()

	for i, url := range []string{"http://127.0.0.1:" + port + "/announce", "udp://127.0.0.1:" + port} {
		seed := NewScheduler(Config{PeerID: [20]byte{'S'}, Port: 2001 + i})
		stopSeed := run(t, seed)
		state := State{}
		seed.Add(Job{InfoHashes: hashes, Tiers: [][]string{{url}}, State: func() State { return state }, Found: func(string, []Peer) {}})
		leecher := NewScheduler(Config{PeerID: [20]byte{'L'}, Port: 1001 + i})
		stopLeecher := run(t, leecher)
		j, found := job(url, 10)
		j.InfoHashes = hashes
		leecher.Add(j)
		for deadline := time.After(30 * time.Second); ; {
			var peers []Peer
			select {
			case peers = <-found:
			case <-deadline:
				t.Fatalf("%s: the leecher was never told of the seed", url)
			}
			met := false
			for _, p := range peers {
				met = met || p.Addr.Port() == uint16(2001+i)
			}
			if met {
				break
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		counts, err := Scrape(ctx, nil, url, hashes...)
		for err == nil && counts[hashes[1]].Seeders == 0 && ctx.Err() == nil { // they have met by the first of the hashes
			counts, err = Scrape(ctx, nil, url, hashes...)
		}
		if got := counts[hashes[1]]; err != nil || got.Seeders != 1 || got.Leechers != 1 {
			t.Errorf("%s: scrape = %+v, %v, want one of each", url, counts, err)
		}
		stopSeed()
		stopLeecher()
		counts, err = Scrape(ctx, nil, url, hashes...)
		if got := counts[hashes[1]]; err != nil || got.Seeders+got.Leechers != 0 {
			t.Errorf("%s: scrape after both stopped = %+v, %v, want none", url, counts, err)
		}
		cancel()
	}
	_, err = Once(t.Context(), nil, "http://127.0.0.1:"+port+"/announce", Request{InfoHash: [20]byte{9}, Port: 1})
	if err == nil {
		t.Errorf("an announce of what is not on its list was served")
	}
}
