package swarmtest

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"shoal/swarm/dht"
)

// DHTNode is a node of a private DHT on loopback, with a socket of its own.
type DHTNode struct {
	*dht.Node
	Addr string
	Kill func()
}

// StartDHT starts as many nodes, the first of which the others begin with; it waits until they know each other. They end with the test, or when they are killed.
func StartDHT(t testing.TB, many int) []*DHTNode {
	t.Helper()
	var nodes []*DHTNode
	var first []string
	for range many {
		nodes = append(nodes, startDHT(t, first))
		first = []string{nodes[0].Addr}
	}
	for end := time.Now().Add(patience()); ; time.Sleep(20 * time.Millisecond) {
		least := many
		for _, n := range nodes {
			least = min(least, n.Stats().IPv4.Good)
		}
		if least >= min(many-1, 20) {
			return nodes
		}
		if time.Now().After(end) {
			t.Fatalf("after %s a node of the DHT knows %d others of %d", patience(), least, many-1)
		}
	}
}

func startDHT(t testing.TB, bootstrap []string) *DHTNode {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadBuffer(1 << 20)
	n := dht.New(dht.Config{IPv4: true, Private: true, Bootstrap: bootstrap, Send: func(b []byte, to netip.AddrPort) error {
		_, err := c.WriteToUDPAddrPort(b, to)
		return err
	}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { n.Run(ctx) })
	wg.Go(func() {
		b := make([]byte, 4096)
		for {
			k, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				if ctx.Err() != nil {
					return
				}
				continue // an answer of ours was refused
			}
			n.HandleUDP(b[:k], from, func(a []byte) { c.WriteToUDPAddrPort(a, from) })
		}
	})
	kill := sync.OnceFunc(func() {
		cancel()
		c.Close()
		wg.Wait()
	})
	t.Cleanup(kill)
	return &DHTNode{n, c.LocalAddr().String(), kill}
}
