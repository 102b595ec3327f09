//go:build linux

package main

import (
	"crypto/sha1"
	"encoding/binary"
	"time"
)

// result is one measurement.
type result struct {
	answers, peers int
	lost, bad      int
	took, cpu      time.Duration
	times          histogram
}

func (r *result) add(o *result) {
	r.answers += o.answers
	r.peers += o.peers
	r.lost += o.lost
	r.bad += o.bad
	for i, n := range o.times.slots {
		r.times.slots[i] += n
	}
}

// histogram counts times, in slots of 10 µs up to 200 ms.
type histogram struct{ slots [20_000]uint32 }

const slotWidth = 10 * time.Microsecond

func (h *histogram) count(d time.Duration) {
	h.slots[min(max(int(d/slotWidth), 0), len(h.slots)-1)]++
}

func (h *histogram) quantile(q float64) time.Duration {
	total := 0
	for _, n := range h.slots {
		total += int(n)
	}
	left := int(q * float64(total))
	for i, n := range h.slots {
		if left -= int(n); left < 0 {
			return time.Duration(i+1) * slotWidth
		}
	}
	return time.Duration(len(h.slots)) * slotWidth
}

func hashNumber(i int) [20]byte { return sha1.Sum(binary.BigEndian.AppendUint32(nil, uint32(i))) }

// who is what the p-th peer announces: each swarm has one at each of so many ports, and every third is a seed.
func (t *target) who(p int) (hash *[20]byte, port uint16, left uint64) {
	hash, port = &t.hashes[p%len(t.hashes)], uint16(1024+p/len(t.hashes))
	if p/len(t.hashes)%3 != 0 {
		left = 1 << 20
	}
	return hash, port, left
}
