package dht

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
)

// The examples of BEP 44.
func TestItemVectors(t *testing.T) {
	key, _ := hex.DecodeString("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")
	for _, c := range []struct{ salt, sig, target string }{
		{"", "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01",
			"4a533d47ec9c7d95b1ad75f576cffc641853b750"},
		{"foobar", "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17ddf9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08",
			"411eba73b6f087ca51a3795d9c8c938d365e32c1"},
	} {
		sig, _ := hex.DecodeString(c.sig)
		i := Item{Key: key, Salt: []byte(c.salt), Seq: 1, Value: []byte("12:Hello World!"), Signature: sig}
		if err := i.Check(); err != nil {
			t.Errorf("salt %q: %v", c.salt, err)
		}
		if got := i.Target().String(); got != c.target {
			t.Errorf("salt %q: target %s, want %s", c.salt, got, c.target)
		}
	}
	if got := ImmutableTarget([]byte("12:Hello World!")).String(); got != "e5f96f6f38320f0f33959cb4d3d656452117aadb" {
		t.Errorf("target of an immutable item: %s", got)
	}
}

func TestCheckItem(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	if i := Sign(key, nil, 0, []byte("1:x")); i.Check() != nil {
		t.Fatal(i.Check())
	}
	for name, i := range map[string]Item{
		"no key":       {Value: []byte("1:x")},
		"long salt":    Sign(key, make([]byte, MaxSalt+1), 1, []byte("1:x")),
		"long value":   Sign(key, nil, 1, []byte("1000:"+strings.Repeat("x", 1000))),
		"not bencoded": Sign(key, nil, 1, []byte("x")),
		"two values":   Sign(key, nil, 1, []byte("1:x1:y")),
		"below 0":      Sign(key, nil, -1, []byte("1:x")),
		"empty":        Sign(key, nil, 1, nil),
	} {
		if i.Check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// What a node answers to puts, in order: BEP 44's seq and cas.
func TestPuts(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	_, thief, _ := ed25519.GenerateKey(nil)
	n := func(i int64) *int64 { return &i }
	put := func(i Item, cas *int64) *message {
		return &message{key: i.Key, salt: i.Salt, seq: &i.Seq, sig: i.Signature, v: i.Value, cas: cas}
	}
	value := func(s string) []byte { return appendStr(nil, s) }
	forged := Sign(thief, nil, 9, value("evil"))
	forged.Key = key.Public().(ed25519.PublicKey)
	var s itemStore
	now := time.Now()
	for i, c := range []struct {
		what string
		m    *message
		want int // error code
	}{
		{"the first", put(Sign(key, nil, 3, value("a")), nil), 0},
		{"the same again", put(Sign(key, nil, 3, value("a")), nil), 0},
		{"the same number with another value", put(Sign(key, nil, 3, value("b")), nil), krpc.ErrorCodeSequenceNumberLessThanCurrent},
		{"an older one", put(Sign(key, nil, 2, value("b")), nil), krpc.ErrorCodeSequenceNumberLessThanCurrent},
		{"a newer one with a wrong cas", put(Sign(key, nil, 4, value("b")), n(2)), krpc.ErrorCodeCasHashMismatched},
		{"a newer one with cas 0", put(Sign(key, nil, 4, value("b")), n(0)), krpc.ErrorCodeCasHashMismatched},
		{"a newer one with the right cas", put(Sign(key, nil, 4, value("b")), n(3)), 0},
		{"a newer one without", put(Sign(key, nil, 5, value("c")), nil), 0},
		{"a forged one", put(forged, nil), krpc.ErrorCodeInvalidSignature},
		{"one of another salt", put(Sign(key, []byte("s"), 1, value("d")), n(7)), 0}, // cas is about what is there: nothing
		{"a long salt", put(Sign(key, make([]byte, 65), 1, value("d")), nil), krpc.ErrorCodeSaltFieldTooBig},
		{"a long value", put(Sign(key, nil, 6, value(strings.Repeat("x", 1000))), nil), krpc.ErrorCodeMessageValueFieldTooBig},
		{"without a number", &message{key: forged.Key, sig: forged.Signature, v: forged.Value}, krpc.ErrorCodeProtocolError},
		{"without a signature", &message{key: forged.Key, seq: n(9), v: forged.Value}, krpc.ErrorCodeProtocolError},
		{"without a value", &message{key: forged.Key, seq: n(9), sig: forged.Signature}, krpc.ErrorCodeProtocolError},
		{"an immutable one, which needs no number", &message{v: value("for ever")}, 0},
	} {
		err := s.put(ID{}, c.m, now)
		var k krpc.Error
		if errors.As(err, &k); k.Code != c.want || (err == nil) != (c.want == 0) {
			t.Errorf("%d, %s: %v, want %d", i, c.what, err, c.want)
		}
	}
	if i, ok := s.get(mutableTarget(key.Public().(ed25519.PublicKey), nil), now); !ok || i.Seq != 5 || string(i.Value) != "1:c" {
		t.Errorf("kept is %+v", i)
	}
	if i, ok := s.get(ImmutableTarget(value("for ever")), now); !ok || string(i.Value) != "8:for ever" {
		t.Errorf("kept is %+v", i)
	}
	if _, ok := s.get(ImmutableTarget(value("for ever")), now.Add(itemTime)); ok {
		t.Errorf("kept for %s", itemTime)
	}
	s.expire(now.Add(itemTime))
	if s.count() != 0 {
		t.Errorf("%d items after all have expired", s.count())
	}
}

func TestItemStoreIsBounded(t *testing.T) {
	var s itemStore
	self, now := ID{}, time.Now()
	for i := range 3 * maxItems {
		s.put(self, &message{v: appendInt(nil, int64(i))}, now)
	}
	if s.count() != maxItems {
		t.Fatalf("%d items", s.count())
	}
	var all []ID
	for i := range 3 * maxItems {
		all = append(all, ImmutableTarget(appendInt(nil, int64(i))))
	}
	slices.SortFunc(all, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	for _, target := range all[:maxItems] { // closest to the ID 0
		if _, ok := s.get(target, now); !ok {
			t.Fatalf("%s is lost, which is ours to keep", target)
		}
	}
}

// TestItems puts and gets over a network, and loses a third of it.
func TestItems(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		nodes := l.network(t, 30, Config{})
		time.Sleep(2 * time.Minute)
		publisher, reader := nodes[5], nodes[26]
		pub, key, _ := ed25519.GenerateKey(nil)
		salt := []byte("app")
		put := func(n *Node, i Item, cas *int64) error {
			t.Helper()
			stored, err := n.PutMutable(within(t, time.Minute), i, cas)
			if err == nil && stored != closest && stored != closest+1 { // one more if we are near ourselves
				t.Errorf("stored by %d nodes", stored)
			}
			return err
		}
		get := func(n *Node, want int64) Item {
			t.Helper()
			i, err := n.GetMutable(within(t, time.Minute), pub, salt)
			if err != nil || i.Seq != want {
				t.Errorf("number %d, %v; want %d", i.Seq, err, want)
			}
			return i
		}
		if _, err := reader.GetMutable(within(t, time.Minute), pub, salt); !errors.Is(err, ErrNotFound) {
			t.Errorf("before it is put: %v", err)
		}
		if err := put(publisher, Sign(key, salt, 1, []byte("3:one")), nil); err != nil {
			t.Fatal(err)
		}
		get(reader, 1)
		one := int64(1)
		if err := put(publisher, Sign(key, salt, 2, []byte("3:two")), &one); err != nil {
			t.Fatal(err)
		}
		if err := put(nodes[20], Sign(key, salt, 1, []byte("3:one")), nil); !errors.Is(err, ErrNewer) {
			t.Errorf("an older one: %v", err)
		}
		if err := put(nodes[20], Sign(key, salt, 3, []byte("5:three")), &one); !errors.Is(err, ErrConflict) {
			t.Errorf("with the wrong cas: %v", err)
		}
		target, err := publisher.Put(within(t, time.Minute), []byte("8:for ever"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := publisher.Put(within(t, time.Minute), []byte("nonsense")); err == nil {
			t.Error("what is no value was put")
		}

		// The publisher goes, and with it a third of the others.
		for i, n := range nodes {
			if i == 5 || i%3 == 1 {
				l.kill(n)
			}
		}
		item := get(reader, 2)
		if string(item.Value) != "3:two" {
			t.Errorf("the value is %q", item.Value)
		}
		if v, err := reader.Get(within(t, time.Minute), target); err != nil || string(v) != "8:for ever" {
			t.Errorf("%q, %v", v, err)
		}
		// Whoever has got it can keep it alive without the key.
		time.Sleep(itemTime - 10*time.Minute)
		if err := put(reader, item, nil); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Minute)
		get(nodes[12], 2)
		time.Sleep(itemTime)
		if _, err := reader.GetMutable(within(t, time.Minute), pub, salt); !errors.Is(err, ErrNotFound) {
			t.Errorf("long after: %v", err)
		}
	})
}

// Where there are few nodes each keeps everything, the publisher too: a network may begin with one.
func TestItemOfTheOnlyNode(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		n := l.start(t, Config{})
		pub, key, _ := ed25519.GenerateKey(nil)
		for seq := range int64(3) {
			if stored, err := n.PutMutable(within(t, time.Minute), Sign(key, nil, seq, []byte("1:x")), nil); err != nil || stored != 1 {
				t.Fatalf("stored by %d nodes, %v", stored, err)
			}
		}
		if _, err := n.PutMutable(within(t, time.Minute), Sign(key, nil, 1, []byte("1:y")), nil); !errors.Is(err, ErrNewer) {
			t.Errorf("an older one: %v", err)
		}
		target, err := n.Put(within(t, time.Minute), []byte("1:z"))
		if err != nil {
			t.Fatal(err)
		}
		if v, err := n.Get(within(t, time.Minute), target); err != nil || string(v) != "1:z" {
			t.Errorf("%q, %v", v, err)
		}
		other := l.start(t, Config{ReadOnly: true, Bootstrap: []string{l.addrs[n].String()}})
		if i, err := other.GetMutable(within(t, time.Minute), pub, nil); err != nil || i.Seq != 2 {
			t.Errorf("%+v, %v", i, err)
		}
		if v, err := other.Get(within(t, time.Minute), target); err != nil || string(v) != "1:z" {
			t.Errorf("%q, %v", v, err)
		}
	})
}

// A reader that has an item is told that there is none newer, and not the item again.
func TestGetWithNumber(t *testing.T) {
	bubble(t, func(t *testing.T, l *lan) {
		n := l.start(t, Config{})
		s := l.stranger(nil)
		_, key, _ := ed25519.GenerateKey(nil)
		i := Sign(key, nil, 5, []byte("1:x"))
		target := i.Target()
		a := s.ask(n, &message{method: qGet, id: known(1), target: &target})
		if a == nil || len(a.token) == 0 || a.seq != nil {
			t.Fatalf("%+v", a)
		}
		put := &message{method: qPut, id: known(1), token: a.token, key: i.Key, sig: i.Signature, seq: &i.Seq, v: i.Value}
		if p := s.ask(n, put); p == nil || p.kind != 'r' {
			t.Fatalf("%+v", p)
		}
		put.token = []byte("wrong")
		if p := s.ask(n, put); p == nil || p.kind != 'e' {
			t.Errorf("with a wrong token: %+v", p)
		}
		for _, c := range []struct {
			seq  int64
			full bool
		}{{4, true}, {5, false}, {6, false}} {
			a := s.ask(n, &message{method: qGet, id: known(1), target: &target, seq: &c.seq})
			if a == nil || a.seq == nil || *a.seq != 5 || (a.v != nil) != c.full || (a.key != nil) != c.full || (a.sig != nil) != c.full {
				t.Errorf("who has %d is told %+v", c.seq, a)
			}
		}
	})
}

// FuzzPut: whatever is put, what is kept is whole, signed and within bounds.
func FuzzPut(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	i := Sign(key, []byte("s"), 1, []byte("1:x"))
	f.Add([]byte(i.Key), i.Salt, []byte(i.Signature), i.Value, int64(1), true)
	f.Add([]byte(nil), []byte(nil), []byte(nil), []byte("1:x"), int64(0), false)
	f.Fuzz(func(t *testing.T, key, salt, sig, v []byte, seq int64, has bool) {
		m := &message{key: key, salt: salt, sig: sig, v: v}
		if has {
			m.seq = &seq
		}
		if len(key) == 0 {
			m.key = nil
		}
		if len(sig) == 0 {
			m.sig = nil
		}
		if m.key != nil && len(key) != 32 || m.sig != nil && len(sig) != 64 || !isValue(v) {
			return // the parser lets none of these through
		}
		var s itemStore
		if s.put(ID{}, m, time.Now()) != nil {
			if s.count() != 0 {
				t.Fatal("refused and kept")
			}
			return
		}
		for target, i := range s.items {
			if i.Key == nil && target != ImmutableTarget(i.Value) || i.Key != nil && (target != i.Target() || i.Check() != nil) || len(i.Value) > MaxValue {
				t.Fatalf("kept at %s: %+v", target, i)
			}
		}
	})
}
