package tracker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"
)

// A snapshot is what a tracker knew when it was stopped. Numbers are big-endian.
//
//	14 bytes   "shoal peers 1\n"
//	 8         Unix time of saving, in seconds
//	for each swarm:
//	 1         01
//	20         info hash
//	 4         its age, in seconds
//	 4         how often it was downloaded
//	 4 + 4     number of IPv4 peers and of IPv6 peers
//	35 each    address, port (2), kind and flags (1), seconds until it expires (4), id (20), site (4)
//	47 each    the same of IPv6
//	at the end:
//	 1         00
//	 4         CRC-32C of all before
const snapshotMagic = "shoal peers 1\n"

// ErrSnapshot is the error of Restore for what is not a whole snapshot.
var ErrSnapshot = errors.New("not a snapshot of a tracker, or damaged")

// Save writes a snapshot of all peers to w, one shard at a time: announces go on meanwhile.
func (s *Server) Save(w io.Writer) error {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	out.WriteString(snapshotMagic)
	out.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix())))
	var b []byte
	for i := range s.store.shards {
		b = s.store.shards[i].appendSnapshot(b[:0], s.now())
		out.Write(b)
	}
	out.WriteByte(0)
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

func (sh *shard) appendSnapshot(b []byte, now uint32) []byte {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for sw := range sh.swarms.all() {
		b = append(append(b, 1), sw.hash[:]...)
		b = binary.BigEndian.AppendUint32(b, now-sw.born)
		b = binary.BigEndian.AppendUint32(b, sw.downloaded)
		b = binary.BigEndian.AppendUint32(b, uint32(sw.v4.len()))
		b = binary.BigEndian.AppendUint32(b, uint32(sw.v6.len()))
		b = appendTable(b, &sw.v4, now)
		b = appendTable(b, &sw.v6, now)
	}
	return b
}

func appendTable[A address](b []byte, t *table[A], now uint32) []byte {
	for i := range t.spots {
		p := t.at(i)
		b = appendAddress(b, p.addr)
		b = binary.BigEndian.AppendUint16(b, p.port)
		b = append(b, byte(p.state))
		b = binary.BigEndian.AppendUint32(b, max(p.expires, now)-now)
		b = append(b, p.id[:]...)
		b = binary.BigEndian.AppendUint32(b, p.site)
	}
	return b
}

func appendAddress[A address](b []byte, a A) []byte {
	switch a := any(a).(type) {
	case [4]byte:
		return append(b, a[:]...)
	case [16]byte:
		return append(b, a[:]...)
	}
	panic("no address")
}

// Restore adds the peers of a snapshot, but for those that have expired since it was saved and those beyond the tracker's bounds. A snapshot
// that is damaged or cut short gives an error, and what could be read of it: peers are hints, and wrong ones expire.
func (s *Server) Restore(r io.Reader) error {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	in := &snapshotReader{r: bufio.NewReaderSize(r, 64<<10), sum: sum}
	if string(in.take(len(snapshotMagic))) != snapshotMagic {
		return ErrSnapshot
	}
	saved := time.Unix(int64(in.uint64()), 0)
	gone := time.Since(saved)
	if in.err != nil || gone < 0 || gone > 24*time.Hour { // a clock that was set, or nobody of them is still there
		return in.err
	}
	for in.err == nil {
		switch in.byte() {
		case 1:
			s.restoreSwarm(in, uint32(gone/time.Second))
		case 0:
			want := sum.Sum32()
			if got := in.uint32(); in.err == nil && got != want {
				return fmt.Errorf("%w: wrong checksum", ErrSnapshot)
			}
			return in.err
		default:
			in.fail()
		}
	}
	return in.err
}

func (s *Server) restoreSwarm(in *snapshotReader, gone uint32) {
	hash := [20]byte(in.take(20))
	age, downloaded, n4, n6 := in.uint32(), in.uint32(), in.uint32(), in.uint32()
	if in.err != nil {
		return
	}
	sh, now := s.store.shard(&hash), s.now()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sw := sh.swarms.get(&hash)
	if sw == nil {
		sw = &swarm{hash: hash, downloaded: downloaded}
		sw.born = now - age - gone // wraps, as do all differences to it
		if s.store.swarms.Load() < s.store.maxSwarms && n4|n6 != 0 {
			sh.swarms.add(sw)
			s.store.swarms.Add(1)
		}
	}
	restoreTable(s.store, sw, v4of, in, n4, now, gone)
	restoreTable(s.store, sw, v6of, in, n6, now, gone)
	if sh.swarms.get(&hash) == nil { // there was no room for it
		s.store.peers.Add(-int64(sw.len()))
	}
}

func restoreTable[A address](st *store, sw *swarm, of func(*group) *table[A], in *snapshotReader, n, now, gone uint32) {
	var addr A
	for range n {
		size := len(addr)
		b := in.take(size + 31)
		if in.err != nil {
			return
		}
		copyAddress(&addr, b)
		rest := b[size:]
		st8, left := state(rest[2]), binary.BigEndian.Uint32(rest[3:])
		if st8.kind() > seed || left > 1<<20 {
			in.fail()
			return
		}
		if left <= gone {
			continue
		}
		p := newPeer(addr, binary.BigEndian.Uint16(rest), st8.kind(), st8.local(), now+left-gone, [20]byte(rest[7:]), binary.BigEndian.Uint32(rest[27:]))
		if p.port != 0 {
			join(st, sw, of, &p, eventStarted, uint32(draw(&in.random)))
		}
	}
}

func copyAddress[A address](to *A, b []byte) {
	switch a := any(to).(type) {
	case *[4]byte:
		copy(a[:], b)
	case *[16]byte:
		copy(a[:], b)
	}
}

// snapshotReader reads and sums; after an error it gives zeros.
type snapshotReader struct {
	r      io.Reader
	sum    hash.Hash32
	buf    [64]byte
	random uint64
	err    error
}

// take returns the next n bytes, which are good until the next call.
func (in *snapshotReader) take(n int) []byte {
	b := in.buf[:n]
	if in.err == nil {
		if _, err := io.ReadFull(in.r, b); err == io.EOF || err == io.ErrUnexpectedEOF {
			in.err = fmt.Errorf("%w: cut short", ErrSnapshot)
		} else if in.err = err; err == nil {
			in.sum.Write(b)
			return b
		}
	}
	clear(b)
	return b
}

func (in *snapshotReader) byte() byte     { return in.take(1)[0] }
func (in *snapshotReader) uint32() uint32 { return binary.BigEndian.Uint32(in.take(4)) }
func (in *snapshotReader) uint64() uint64 { return binary.BigEndian.Uint64(in.take(8)) }

func (in *snapshotReader) fail() {
	if in.err == nil {
		in.err = ErrSnapshot
	}
}
