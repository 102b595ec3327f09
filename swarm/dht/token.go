package dht

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// tokenTime is how long the secret behind tokens lives; a token is taken for one to two of it.
const tokenTime = 5 * time.Minute

// tokens makes and checks what a node must have got from us, at its address, before it may store something here (BEP 5). It remembers nobody.
type tokens struct {
	mu       sync.Mutex
	now, old [32]byte
	since    time.Time
}

func (t *tokens) secrets(now time.Time) (cur, old [32]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch age := now.Sub(t.since); {
	case t.since.IsZero() || age > 2*tokenTime:
		rand.Read(t.now[:])
		rand.Read(t.old[:])
		t.since = now
	case age > tokenTime:
		t.old = t.now
		rand.Read(t.now[:])
		t.since = now
	}
	return t.now, t.old
}

func sign(secret [32]byte, ip netip.Addr) []byte {
	h := hmac.New(sha256.New, secret[:])
	h.Write(ip.AsSlice())
	return h.Sum(nil)[:8]
}

func (t *tokens) issue(ip netip.Addr, now time.Time) []byte {
	cur, _ := t.secrets(now)
	return sign(cur, ip)
}

func (t *tokens) valid(token []byte, ip netip.Addr, now time.Time) bool {
	cur, old := t.secrets(now)
	return hmac.Equal(token, sign(cur, ip)) || hmac.Equal(token, sign(old, ip))
}
