package mse

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"net"
	"testing"
)

func newOne() *big.Int { return big.NewInt(1) }

// hello is what comes after the keys from one that opens a connection, sealed and framed right: a
// fuzzer would never find the hashes.
func hello(s []byte, skey [20]byte, pad, sealed []byte) []byte {
	req1, name, req3 := hash("req1", s), Name(skey), hash("req3", s)
	b := append(bytes.Clone(pad), req1[:]...)
	for i := range name {
		b = append(b, name[i]^req3[i])
	}
	out := bytes.Clone(sealed)
	stream("keyA", s, skey).XORKeyStream(out, out)
	return append(b, out...)
}

// talker opens connections with x = 1: its public key is the generator, so that S is whatever it
// is answered with.
type talker struct {
	script
	pad, sealed []byte
	skey        [20]byte
	said        bool
}

func (f *talker) Read(b []byte) (int, error) {
	if f.in.Len() == 0 && !f.said && f.out.Len() >= KeyLen {
		f.said = true
		f.in = bytes.NewReader(hello(f.out.Bytes()[:KeyLen], f.skey, f.pad, f.sealed))
	}
	return f.in.Read(b)
}

// FuzzAccept has a stranger that knows the torrent say anything after the keys: what it sent ahead
// comes out as it was, and nothing beyond the bounds is taken.
func FuzzAccept(f *testing.F) {
	head := func(provide uint32, padC, ia uint16, rest string) []byte {
		b := binary.BigEndian.AppendUint32(make([]byte, 8), provide)
		b = binary.BigEndian.AppendUint16(b, padC)
		b = append(b, make([]byte, min(padC, 600))...)
		b = binary.BigEndian.AppendUint16(b, ia)
		return append(b, rest...)
	}
	f.Add([]byte(nil), head(2, 0, 5, "aheadand more"))
	f.Add(make([]byte, 512), head(3, 512, 0, "more"))
	f.Add(make([]byte, 513), head(1, 0, 3, "abc"))
	f.Add([]byte("pad"), head(1, 513, 3, "abc"))
	f.Add([]byte("pad"), head(4, 0, 0xffff, "abc"))
	f.Add([]byte{1}, []byte{1, 2})
	f.Fuzz(func(t *testing.T, pad, sealed []byte) {
		generator := make([]byte, KeyLen)
		generator[KeyLen-1] = 2
		x := &talker{script: script{in: bytes.NewReader(generator)}, pad: pad, sealed: sealed, skey: [20]byte{7}}
		c, skey, err := Accept(x, only(x.skey), RC4|Plaintext)
		if err != nil {
			return
		}
		if len(pad) > maxPad || skey != x.skey || len(sealed) < 16 {
			t.Fatalf("padding of %d, %d bytes were taken", len(pad), len(sealed))
		}
		padC := int(binary.BigEndian.Uint16(sealed[12:]))
		if padC > maxPad || len(sealed) < 16+padC {
			t.Fatalf("padding of %d was taken", padC)
		}
		ia := int(binary.BigEndian.Uint16(sealed[14+padC:]))
		if ia > MaxAhead || len(sealed) < 16+padC+ia {
			t.Fatalf("%d bytes ahead were taken", ia)
		}
		got := make([]byte, ia)
		if n, _ := c.Read(got); ia > 0 && (n == 0 || !bytes.Equal(got[:n], sealed[16+padC:][:n])) {
			t.Fatalf("ahead came %q, want %q", got[:n], sealed[16+padC:][:n])
		}
		provide := Method(binary.BigEndian.Uint32(sealed[8:]))
		if m := c.Method(); m&provide == 0 || m == Plaintext && provide&RC4 != 0 {
			t.Fatalf("method %v of %v", m, provide)
		}
	})
}

// FuzzInitiate does the same to one that opens a connection.
func FuzzInitiate(f *testing.F) {
	f.Add([]byte("pad"), append(make([]byte, 8), 0, 0, 0, 2, 0, 0, 'x'))
	f.Add([]byte(nil), append(make([]byte, 8), 0, 0, 0, 1, 0, 1, 'x', 'y'))
	f.Add(make([]byte, 600), append(make([]byte, 8), 0, 0, 0, 2, 2, 1))
	f.Fuzz(func(t *testing.T, pad, sealed []byte) {
		skey := [20]byte{7}
		generator := make([]byte, KeyLen)
		generator[KeyLen-1] = 2
		x := &answerer{script: script{in: bytes.NewReader(generator)}, pad: pad, sealed: sealed, skey: skey}
		c, err := Initiate(x, skey, RC4, []byte("ahead"))
		if err != nil {
			return
		}
		if len(sealed) < 14 || c.Method() != RC4 || binary.BigEndian.Uint32(sealed[8:]) != uint32(RC4) || binary.BigEndian.Uint16(sealed[12:]) > maxPad {
			t.Fatalf("%v with % x was taken", c.Method(), sealed)
		}
	})
}

// answerer is the other side of FuzzInitiate.
type answerer struct {
	script
	pad, sealed []byte
	skey        [20]byte
	said        bool
}

func (f *answerer) Read(b []byte) (int, error) {
	if f.in.Len() == 0 && !f.said && f.out.Len() >= KeyLen {
		f.said = true
		out := bytes.Clone(f.sealed)
		stream("keyB", f.out.Bytes()[:KeyLen], f.skey).XORKeyStream(out, out)
		f.in = bytes.NewReader(append(bytes.Clone(f.pad), out...))
	}
	return f.in.Read(b)
}

// sink takes everything.
type sink struct{ net.Conn }

func (sink) Write(b []byte) (int, error) { return len(b), nil }

func BenchmarkWriteSealed(b *testing.B) {
	s := make([]byte, KeyLen)
	c := &Conn{Conn: sink{}, method: RC4, out: stream("keyA", s, [20]byte{})}
	block := make([]byte, 128<<10)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		c.Write(block)
	}
}
