package swarm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"shoal/piece"
)

// command is a child that has not been started.
func command(t testing.TB, c child) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	spec, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+string(spec))
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

func writeTorrent(t testing.TB, tor *piece.Torrent) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.torrent")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := tor.Write(f); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKill kills a fetch with SIGKILL at random moments until one gets to the end. SHOAL_KILLS says
// how many times at least.
func TestKill(t *testing.T) {
	least, _ := strconv.Atoi(os.Getenv("SHOAL_KILLS"))
	least = max(least, 5)
	x := mixed()
	x["big"] = random(10<<20, 99)
	const size = 64 << 10
	for _, f := range formats {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			tor, path := makeTree(t, x, piece.BuildConfig{Format: f, PieceLength: size})
			file := writeTorrent(t, tor)
			o := newMachine(t, Config{Role: RoleOrigin})
			up := add(t, o, Spec{Torrent: tor, Content: path})
			kills := 0
			for kills < least { // several fetches, if one is too quick for so many kills
				dir := t.TempDir()
				killed, sent := 0, up.counts.upTotal()
				for {
					cmd, out := command(t, child{Torrent: file, Dir: dir, Peers: []string{o.addr}, Down: 20 << 20})
					if err := cmd.Start(); err != nil {
						t.Fatal(err)
					}
					delay := rand.N(400*time.Millisecond) + time.Duration(killed)*50*time.Millisecond // slow machines get there too
					timer := time.AfterFunc(delay, func() { cmd.Process.Kill() })
					err := cmd.Wait()
					timer.Stop()
					if err == nil {
						break
					}
					if cmd.ProcessState.Exited() {
						t.Fatalf("%v: %s", err, out)
					}
					killed++
				}
				kills += killed
				// What was in flight when it was killed: the pieces that were begun, and the sockets' buffers.
				extra := up.counts.upTotal() - sent - tor.Length
				t.Logf("killed %d times; sent %d bytes too many, %d a kill", killed, extra, extra/int64(max(killed, 1)))
				if extra > int64(killed)*8<<20 {
					t.Errorf("sent %d bytes more than the content's %d, in %d kills", extra, tor.Length, killed)
				}
				x.equal(t, readTree(t, filepath.Join(dir, "tree")))
				sound(t, tor.Info, filepath.Join(dir, "tree"))
				leftovers(t, dir, "tree")
			}
		})
	}
}

// TestKillKeepsWhatWasVerified kills once, in the middle, and looks at what the next one does.
func TestKillKeepsWhatWasVerified(t *testing.T) {
	x := tree{"big": random(16<<20, 5)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 64 << 10})
	file := writeTorrent(t, tor)
	o := newMachine(t, Config{Role: RoleOrigin})
	up := add(t, o, Spec{Torrent: tor, Content: path})
	dir := t.TempDir()
	victim, _ := command(t, child{Torrent: file, Dir: dir, Peers: []string{o.addr}, Down: 8 << 20})
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the middle", func() bool { return up.counts.upTotal() > tor.Length/2 })
	victim.Process.Kill()
	victim.Wait()
	cmd, out := command(t, child{Torrent: file, Dir: dir, Peers: []string{o.addr}})
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var reused, fetched, hashed int64
	for line := range bytes.Lines(out.Bytes()) {
		fmt.Sscanf(string(line), "reused %d fetched %d hashed %d", &reused, &fetched, &hashed)
	}
	t.Logf("reused %d, fetched %d, hashed again %d", reused, fetched, hashed)
	if reused < tor.Length/4 || reused+fetched != tor.Length {
		t.Errorf("reused %d and fetched %d of %d", reused, fetched, tor.Length)
	}
	x.equal(t, readTree(t, filepath.Join(dir, "tree")))
}
