//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"shoal/piece"
	"shoal/swarm/announce"
	"shoal/swarm/wire"
)

// poison takes part in a swarm until ctx is done: it claims to have everything and answers each request with
// garbage. It calls itself Shoal, to be trusted as far as one of us is. The lab runs itself as this.
func poison(ctx context.Context, torrent string) error {
	t, err := piece.ReadFile(torrent)
	if err != nil {
		return err
	}
	p := &poisoner{pieces: t.NumPieces(), busy: make(map[netip.AddrPort]bool)}
	if t.HasV1 {
		p.hash = t.V1
	} else {
		copy(p.hash[:], t.V2[:])
	}
	copy(p.id[:], "-SH0100-")
	rand.Read(p.id[8:])
	rand.Read(p.garbage[:])
	ln, err := net.Listen("tcp4", fmt.Sprintf(":%d", poisonPort))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { p.find(ctx, &wg, t.Trackers) })
	for {
		nc, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		wg.Go(func() { p.talk(ctx, nc, true) })
	}
}

const poisonPort = 6881

type poisoner struct {
	hash, id [20]byte
	pieces   int
	garbage  [wire.MaxBlock]byte

	mu   sync.Mutex
	busy map[netip.AddrPort]bool // who is being talked to
}

// find announces every few seconds, and dials whomever it is told of.
func (p *poisoner) find(ctx context.Context, wg *sync.WaitGroup, tiers [][]string) {
	for event := announce.Started; ctx.Err() == nil; event = announce.None {
		for _, tier := range tiers {
			for _, url := range tier {
				reply, err := announce.Once(ctx, nil, url, announce.Request{InfoHash: p.hash, PeerID: p.id, Port: poisonPort, Event: event, NumWant: 50})
				if err != nil {
					fmt.Fprintln(os.Stderr, "announce:", err)
					continue
				}
				for _, peer := range reply.Peers {
					wg.Go(func() { p.dial(ctx, peer.Addr) })
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

func (p *poisoner) dial(ctx context.Context, to netip.AddrPort) {
	p.mu.Lock()
	known := p.busy[to]
	p.busy[to] = true
	p.mu.Unlock()
	if known {
		return
	}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.busy, to)
	}()
	nc, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp4", to.String())
	if err != nil {
		return
	}
	p.talk(ctx, nc, false)
}

// talk carries a connection until the other side has had enough.
func (p *poisoner) talk(ctx context.Context, nc net.Conn, inbound bool) {
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	asked, sent := 0, 0
	err := func() error {
		ours := wire.Handshake{Fast: true, InfoHash: p.hash, PeerID: p.id}.Append(nil)
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		if !inbound {
			if _, err := nc.Write(ours); err != nil {
				return err
			}
		}
		theirs, err := wire.ReadHandshake(nc)
		if err != nil {
			return err
		}
		if theirs.PeerID == p.id {
			return errors.New("that is me")
		}
		var hello []byte
		if inbound {
			ours = wire.Handshake{Fast: true, InfoHash: theirs.InfoHash, PeerID: p.id}.Append(nil)
			hello = append(hello, ours...)
		}
		hello = append(hello, p.claim(theirs.Fast)...)
		hello = wire.AppendPlain(hello, wire.Interested)
		if _, err := nc.Write(wire.AppendPlain(hello, wire.Unchoke)); err != nil {
			return err
		}
		r := wire.NewReader(nc)
		r.Want = func(_, _, _ uint32) bool { return false }
		r.Bits = int64(p.pieces+7) / 8
		var m wire.Message
		for {
			nc.SetDeadline(time.Now().Add(3 * time.Minute))
			if err := r.Next(&m); err != nil {
				return err
			}
			m.Release()
			if m.Type != wire.Request || m.Length == 0 || m.Length > wire.MaxBlock {
				continue
			}
			asked++
			b := wire.AppendPieceHeader(nil, m.Index, m.Begin, int(m.Length))
			if _, err := nc.Write(append(b, p.garbage[:m.Length]...)); err != nil {
				return err
			}
			sent++
		}
	}()
	fmt.Fprintf(os.Stderr, "%s: asked %d, sent %d: %v\n", nc.RemoteAddr(), asked, sent, err)
}

// claim says that everything is here.
func (p *poisoner) claim(fast bool) []byte {
	if fast {
		return wire.AppendPlain(nil, wire.HaveAll)
	}
	bits := make([]byte, (p.pieces+7)/8)
	for i := range p.pieces {
		bits[i/8] |= 0x80 >> (i % 8)
	}
	return wire.AppendBitfield(nil, bits)
}

func startPoisoner(ctx context.Context, r *round, m *machine) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return r.start(ctx, m.host, nil, self, "poisoner", r.torrent)
}
