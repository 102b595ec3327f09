//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"
)

// caller is one socket with some announces in flight. Transaction ids are numbers of its slots.
type caller struct {
	t        *target
	c        *net.UDPConn
	b        *ipv4.PacketConn
	id       [8]byte
	sent     []time.Time
	busy     []bool
	free     []uint32
	out, in  []ipv4.Message
	result   result
	announce func() int // the next peer; < 0: no more
}

func source(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 0, byte(2 + i%sources)}) }

func (t *target) dialUDP(i, inFlight int) (*caller, error) {
	c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source(i), 0)), net.UDPAddrFromAddrPort(t.addr))
	if err != nil {
		return nil, err
	}
	c.SetReadBuffer(4 << 20)
	x := &caller{t: t, c: c, b: ipv4.NewPacketConn(c), sent: make([]time.Time, inFlight), busy: make([]bool, inFlight)}
	for i := range inFlight {
		x.free = append(x.free, uint32(i))
		x.out = append(x.out, ipv4.Message{Buffers: [][]byte{make([]byte, 98)}})
		x.in = append(x.in, ipv4.Message{Buffers: [][]byte{make([]byte, 2048)}})
	}
	return x, x.connect()
}

// connect gets a connection id (BEP 15).
func (x *caller) connect() error {
	pkt := binary.BigEndian.AppendUint64(nil, 0x41727101980)
	pkt = append(pkt, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)
	buf := make([]byte, 2048)
	for range 20 {
		x.c.Write(pkt)
		x.c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		for {
			n, err := x.c.Read(buf)
			if err != nil {
				break
			}
			if n == 16 && string(buf[:8]) == string(pkt[8:]) {
				copy(x.id[:], buf[8:])
				return nil
			}
		}
	}
	return fmt.Errorf("%s does not answer connect", x.t.name)
}

// send announces up to n more peers.
func (x *caller) send(n int) error {
	n = min(n, len(x.free))
	now := time.Now()
	k := 0
	for ; k < n; k++ {
		p := x.announce()
		if p < 0 {
			break
		}
		slot := x.free[len(x.free)-1]
		x.free = x.free[:len(x.free)-1]
		x.sent[slot], x.busy[slot] = now, true
		x.fill(x.out[k].Buffers[0], slot, p)
	}
	for done := 0; done < k; {
		m, err := x.b.WriteBatch(x.out[done:k], 0)
		if err != nil {
			return err
		}
		done += m
	}
	return nil
}

func (x *caller) fill(b []byte, transaction uint32, p int) {
	hash, port, left := x.t.who(p)
	copy(b, x.id[:])
	binary.BigEndian.PutUint32(b[8:], 1)
	binary.BigEndian.PutUint32(b[12:], transaction)
	copy(b[16:], hash[:])
	copy(b[36:], "-XX0000-")
	binary.BigEndian.PutUint32(b[52:], uint32(p))
	binary.BigEndian.PutUint64(b[64:], left)
	binary.BigEndian.PutUint32(b[92:], 50)
	binary.BigEndian.PutUint16(b[96:], port)
}

// receive waits for answers, at most until the deadline, and returns how many came.
func (x *caller) receive(deadline time.Time) (int, error) {
	x.c.SetReadDeadline(deadline)
	n, err := x.b.ReadBatch(x.in, 0)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, nil
		}
		return 0, err
	}
	now := time.Now()
	got := 0
	for i := range n {
		pkt := x.in[i].Buffers[0][:x.in[i].N]
		if len(pkt) < 8 {
			x.result.bad++
			continue
		}
		slot := binary.BigEndian.Uint32(pkt[4:])
		if slot >= uint32(len(x.busy)) || !x.busy[slot] {
			continue // given up before
		}
		x.busy[slot] = false
		x.free = append(x.free, slot)
		got++
		if binary.BigEndian.Uint32(pkt) != 1 || len(pkt) < 20 {
			x.result.bad++
			continue
		}
		x.result.answers++
		x.result.peers += (len(pkt) - 20) / 6
		x.result.times.count(now.Sub(x.sent[slot]))
	}
	return got, nil
}

// giveUp forgets what is in flight.
func (x *caller) giveUp() {
	x.free = x.free[:0]
	for i := range x.busy {
		if x.busy[i] {
			x.result.lost++
		}
		x.busy[i] = false
		x.free = append(x.free, uint32(i))
	}
}

// flood keeps as many announces in flight as there are slots, until there are no more.
func (x *caller) flood(ctx context.Context) error {
	if err := x.send(len(x.free)); err != nil {
		return err
	}
	for len(x.free) < len(x.busy) && ctx.Err() == nil {
		got, err := x.receive(time.Now().Add(time.Second))
		if err != nil {
			return err
		}
		if got == 0 {
			x.giveUp()
			got = len(x.free)
		}
		if err := x.send(got); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// pace sends so many a second, in bursts of one millisecond's worth.
func (x *caller) pace(ctx context.Context, length time.Duration, perSecond float64) error {
	begin, done := time.Now(), 0
	for now := begin; now.Sub(begin) < length && ctx.Err() == nil; now = time.Now() {
		due := int(now.Sub(begin).Seconds()*perSecond) - done
		if due > 0 {
			done += due // what finds no free slot is not sent later: the tracker would never get its rest
			if err := x.send(due); err != nil {
				return err
			}
		}
		if _, err := x.receive(now.Add(time.Millisecond)); err != nil {
			return err
		}
	}
	for end := time.Now().Add(300 * time.Millisecond); len(x.free) < len(x.busy) && time.Now().Before(end); {
		if _, err := x.receive(end); err != nil {
			return err
		}
	}
	x.giveUp()
	return ctx.Err()
}

// udp measures announces over UDP: as many as the tracker can answer, or perSecond if that is not 0.
func (t *target) udp(ctx context.Context, length time.Duration, sockets, inFlight int, perSecond float64) (result, error) {
	var all []*caller
	for i := range sockets {
		if perSecond > 0 {
			inFlight = 1024
		}
		x, err := t.dialUDP(i, inFlight)
		if err != nil {
			return result{}, err
		}
		defer x.c.Close()
		all = append(all, x)
	}
	end := time.Now().Add(length)
	r := result{}
	cpu, begin := t.cpu(), time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, x := range all {
		x.announce = func() int {
			if perSecond == 0 && time.Now().After(end) {
				return -1
			}
			return rand.IntN(t.peers)
		}
		g.Go(func() error {
			if perSecond > 0 {
				return x.pace(ctx, length, perSecond/float64(sockets))
			}
			return x.flood(ctx)
		})
	}
	err := g.Wait()
	r.took, r.cpu = time.Since(begin), t.cpu()-cpu
	for _, x := range all {
		r.add(&x.result)
	}
	return r, err
}

// populate announces every peer once.
func (t *target) populate(ctx context.Context, peers int) error {
	x, err := t.dialUDP(0, 64)
	if err != nil {
		return err
	}
	defer x.c.Close()
	next := 0
	x.announce = func() int {
		if next == peers {
			return -1
		}
		next++
		return next - 1
	}
	err = x.flood(ctx)
	t.peers = peers
	if err == nil && x.result.lost+x.result.bad > peers/1000 {
		err = fmt.Errorf("of %d announces %d were lost and %d got an error", peers, x.result.lost, x.result.bad)
	}
	return err
}
