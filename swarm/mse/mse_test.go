package mse

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	theirs "github.com/anacrolix/torrent/mse"
)

// pair is both ends of a TCP connection on loopback: a pipe would block where sockets have room.
func pair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{a, b} {
		c.SetDeadline(time.Now().Add(20 * time.Second))
		t.Cleanup(func() { c.Close() })
	}
	return a, b
}

// only looks one torrent up.
func only(skey [20]byte) func([20]byte) ([20]byte, bool) {
	return func(name [20]byte) ([20]byte, bool) { return skey, name == Name(skey) }
}

func TestBothWays(t *testing.T) {
	skey := [20]byte{1, 2, 3}
	for _, c := range []struct {
		name         string
		offer, allow Method
		want         Method
	}{
		{"RC4 when both can", RC4 | Plaintext, RC4 | Plaintext, RC4},
		{"RC4 alone", RC4, RC4 | Plaintext, RC4},
		{"plaintext alone", Plaintext, RC4 | Plaintext, Plaintext},
		{"RC4 required", RC4 | Plaintext, RC4, RC4},
		{"nothing in common", Plaintext, RC4, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t)
			type accepted struct {
				c   *Conn
				err error
			}
			done := make(chan accepted, 1)
			go func() {
				c, got, err := Accept(b, only(skey), c.allow)
				if err == nil && got != skey {
					err = errors.New("another torrent")
				}
				if err != nil {
					b.Close()
				}
				done <- accepted{c, err}
			}()
			ours, err := Initiate(a, skey, c.offer, []byte("sent ahead"))
			other := <-done
			if c.want == 0 {
				if err == nil || !errors.Is(other.err, ErrMethod) {
					t.Errorf("initiator: %v, acceptor: %v; want %v", err, other.err, ErrMethod)
				}
				return
			}
			if err != nil || other.err != nil {
				t.Fatalf("initiator: %v, acceptor: %v", err, other.err)
			}
			if ours.Method() != c.want || other.c.Method() != c.want {
				t.Errorf("methods %v and %v, want %v", ours.Method(), other.c.Method(), c.want)
			}
			big := make([]byte, 1<<20)
			rand.Read(big)
			go func() {
				ours.Write([]byte(", behind"))
				ours.Write(big)
				ours.WriteBuffers(net.Buffers{[]byte("x"), []byte("yz")})
				ours.WriteBuffers(net.Buffers{big, []byte("end")})
			}()
			want := "sent ahead, behind" + string(big) + "xyz" + string(big) + "end"
			got := make([]byte, len(want))
			if _, err := io.ReadFull(other.c, got); err != nil || string(got) != want {
				t.Fatalf("what arrived differs, %v", err)
			}
			go other.c.Write([]byte("and back"))
			if _, err := io.ReadFull(ours, got[:8]); err != nil || string(got[:8]) != "and back" {
				t.Fatalf("back came %q, %v", got[:8], err)
			}
		})
	}
}

// The library that others use understands us, and we it.
func TestAgainstAnotherImplementation(t *testing.T) {
	skey := [20]byte{9, 8, 7}
	echo := func(rw io.ReadWriter) {
		b := make([]byte, 10)
		if _, err := io.ReadFull(rw, b); err == nil {
			rw.Write(b)
		}
	}
	check := func(t *testing.T, rw io.ReadWriter, ahead int) {
		t.Helper()
		const want = "0123456789"
		if _, err := io.WriteString(rw, want[ahead:]); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		if _, err := io.ReadFull(rw, b); err != nil || string(b) != want {
			t.Fatalf("echo is %q, %v", b, err)
		}
	}
	for _, m := range []Method{Plaintext, RC4} {
		t.Run("we open, "+m.String(), func(t *testing.T) {
			a, b := pair(t)
			go func() {
				rw, _, err := theirs.ReceiveHandshake(context.Background(), b, func(f func([]byte) bool) { f(skey[:]) },
					func(theirs.CryptoMethod) theirs.CryptoMethod { return theirs.CryptoMethod(m) })
				if err == nil {
					echo(rw)
				}
			}()
			c, err := Initiate(a, skey, Plaintext|RC4, []byte("012"))
			if err != nil || c.Method() != m {
				t.Fatalf("%v, %v", c, err)
			}
			check(t, c, 3)
		})
		t.Run("they open, "+m.String(), func(t *testing.T) {
			a, b := pair(t)
			go func() {
				if c, _, err := Accept(b, only(skey), Plaintext|RC4); err == nil {
					echo(c)
				}
			}()
			rw, got, err := theirs.InitiateHandshake(a, skey[:], []byte("0123"), theirs.CryptoMethod(m))
			if err != nil || Method(got) != m {
				t.Fatalf("%v, %v", got, err)
			}
			check(t, rw, 4)
		})
	}
}

// Keys begin as no other protocol on the port does.
func TestKeysAreNotMistaken(t *testing.T) {
	for range 300 {
		if b := newKeys().public[0]; b == 0x13 || b == 0x16 || b >= 'A' && b <= 'Z' {
			t.Fatalf("a key begins with %#x", b)
		}
	}
}

// script is a connection that says what it was told to, however it is answered.
type script struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *script) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error) { return s.out.Write(b) }

func TestStrangersAreRefused(t *testing.T) {
	random := make([]byte, 4000)
	rand.Read(random)
	random[0] = 0x77
	for name, c := range map[string]struct {
		say  []byte
		want error
	}{
		"nothing":           {nil, io.EOF},
		"half a key":        {random[:50], io.ErrUnexpectedEOF},
		"noise":             {random, errSync},
		"a key and no more": {random[:KeyLen], io.EOF},
		"key zero":          {make([]byte, 2000), nil},
		"key one":           {append(append(make([]byte, 95), 1), random...), nil},
		"key p-1":           {append(prime().Sub(prime(), newOne()).FillBytes(make([]byte, 96)), random...), nil},
	} {
		s := &script{in: bytes.NewReader(c.say)}
		_, _, err := Accept(s, func([20]byte) ([20]byte, bool) { return [20]byte{}, true }, RC4)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if left := len(c.say) - s.in.Len(); left > KeyLen+maxPad+1024 {
			t.Errorf("%s: %d bytes were read", name, left)
		}
		s = &script{in: bytes.NewReader(c.say)}
		if _, err := Initiate(s, [20]byte{}, RC4, nil); err == nil {
			t.Errorf("%s: the answer was taken", name)
		}
	}
	a, b := pair(t)
	go Initiate(a, [20]byte{1}, RC4, nil)
	if _, _, err := Accept(b, only([20]byte{2}), RC4); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a torrent that is not here: %v", err)
	}
}
