package swarm

import (
	"net"
	"strings"
	"testing"
	"time"

	"shoal/piece"
)

// Who named a peer in vain learns why it gives nothing.
func TestWhyNamedPeersGiveNothing(t *testing.T) {
	t.Parallel()
	tor, path, _ := makeContent(t, 64<<10, piece.BuildConfig{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	ln.Close()
	ignorant, seed := newMachine(t, Config{}), newMachine(t, Config{})
	add(t, seed, Spec{Torrent: tor, Content: path})
	m := newMachine(t, Config{})
	tr := add(t, m, Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{nobody, ignorant.addr}})
	why := func() string {
		var b strings.Builder
		for _, p := range tr.PeerErrors() {
			b.WriteString(p.Addr + ": " + p.Err.Error() + "\n")
		}
		return b.String()
	}
	until(t, "both have failed", func() bool {
		return strings.Contains(why(), nobody+": connection refused") && strings.Contains(why(), ignorant.addr+": "+errHungUp.Error())
	})
	tr.AddPeers(seed.addr)
	wait(t, tr, 20*time.Second)
	if strings.Contains(why(), seed.addr) {
		t.Errorf("a peer that gave everything is told of:\n%s", why())
	}
}
