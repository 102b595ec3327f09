package lanes

import (
	"crypto/sha1"
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

func TestLeaves(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	for range 100 {
		var a, b [LeafSize]byte
		r.Read(a[:])
		r.Read(b[:])
		x, y := Leaves(&a, &b)
		if x != sha256.Sum256(a[:]) || y != sha256.Sum256(b[:]) {
			t.Fatalf("got %x, %x, want %x, %x", x, y, sha256.Sum256(a[:]), sha256.Sum256(b[:]))
		}
	}
}

func TestSHA1(t *testing.T) {
	r := rand.NewChaCha8([32]byte{2})
	var h SHA1
	for n := 0; n <= 64*40; n += 64 {
		a, b := make([]byte, n), make([]byte, n)
		r.Read(a)
		r.Read(b)
		cut := n / 128 * 64
		h.Reset()
		h.Write(a[:cut], b[:cut])
		h.Write(a[cut:], b[cut:])
		if x, y := h.Sum(); x != sha1.Sum(a) || y != sha1.Sum(b) {
			t.Fatalf("%d bytes: got %x, %x, want %x, %x", n, x, y, sha1.Sum(a), sha1.Sum(b))
		}
	}
}

func TestSHA1s(t *testing.T) {
	r := rand.NewChaCha8([32]byte{3})
	var h SHA1s
	for n := 0; n <= 64*40; n += 64 {
		var all, first, rest [Many][]byte
		cut := n / 128 * 64
		for i := range all {
			all[i] = make([]byte, n)
			r.Read(all[i])
			first[i], rest[i] = all[i][:cut], all[i][cut:]
		}
		h.Reset()
		h.Write(&first)
		h.Write(&rest)
		for i, x := range h.Sums() {
			if want := sha1.Sum(all[i]); x != want {
				t.Fatalf("message %d of %d bytes: got %x, want %x", i, n, x, want)
			}
		}
	}
}

func FuzzLanes(f *testing.F) {
	f.Add([]byte("a"), []byte("b"), 3)
	f.Fuzz(func(t *testing.T, a, b []byte, n int) {
		var x, y [LeafSize]byte
		copy(x[:], a)
		copy(y[len(y)-min(len(b), len(y)):], b)
		if p, q := Leaves(&x, &y); p != sha256.Sum256(x[:]) || q != sha256.Sum256(y[:]) {
			t.Fatal("SHA-256 is wrong")
		}
		var h SHA1
		h.Reset()
		n = n & 255 * 64
		h.Write(x[:n], y[:n])
		if p, q := h.Sum(); p != sha1.Sum(x[:n]) || q != sha1.Sum(y[:n]) {
			t.Fatal("SHA-1 is wrong")
		}
		var many [Many][]byte
		for i := range many {
			many[i] = [2][]byte{x[:n], y[:n]}[i%2]
		}
		var m SHA1s
		m.Reset()
		m.Write(&many)
		for i, p := range m.Sums() {
			if p != sha1.Sum(many[i]) {
				t.Fatalf("SHA-1 of message %d is wrong", i)
			}
		}
	})
}

func BenchmarkLeaves(b *testing.B) {
	var x, y [LeafSize]byte
	b.SetBytes(2 * LeafSize)
	for b.Loop() {
		Leaves(&x, &y)
	}
}

func BenchmarkSHA1(b *testing.B) {
	var x, y [LeafSize]byte
	var h SHA1
	h.Reset()
	b.SetBytes(2 * LeafSize)
	for b.Loop() {
		h.Write(x[:], y[:])
	}
}

// The two below are what one message at a time gives.

func BenchmarkOneLeaf(b *testing.B) {
	var x [LeafSize]byte
	b.SetBytes(LeafSize)
	for b.Loop() {
		_ = sha256.Sum256(x[:])
	}
}

func BenchmarkOneSHA1(b *testing.B) {
	var x [LeafSize]byte
	h := sha1.New()
	b.SetBytes(LeafSize)
	for b.Loop() {
		h.Write(x[:])
	}
}

func BenchmarkSHA1s(b *testing.B) {
	var many [Many][]byte
	for i := range many {
		many[i] = make([]byte, LeafSize)
	}
	var h SHA1s
	h.Reset()
	b.SetBytes(Many * LeafSize)
	for b.Loop() {
		h.Write(&many)
	}
}
