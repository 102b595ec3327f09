package webseed

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"shoal/internal/sock"
)

// tlsUnsent is how much may lie unsent in the kernel of a connection whose writes cannot go on when their time is up, in bytes: a write waits until half of it is gone, and
// with megabytes there a slow reader's progress would not be seen in time.
const tlsUnsent = 256 << 10

// connKey is what a request's context has its connection under.
type connKey struct{}

// ConnContext is for http.Server: with it, how much of a response a slow client has taken is known exactly. How much of it lies in the kernel is the kernel's to decide then;
// to be woken for each 128 KiB of a fast client's costs more than sending them.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		sock.BoundUnsent(t.NetConn(), tlsUnsent)
		return ctx
	}
	return context.WithValue(ctx, connKey{}, c)
}

// connOf is a request's connection, where ConnContext has noted it.
func connOf(r *http.Request) (c net.Conn, ok bool) {
	c, ok = r.Context().Value(connKey{}).(net.Conn)
	return c, ok
}

// BoundUnsent keeps what lies unsent in the kernel small on a request's connection, for a response that is written as bytes, until the function that it returns is called.
func BoundUnsent(r *http.Request) (end func()) {
	c, ok := connOf(r)
	if !ok {
		return func() {}
	}
	sock.BoundUnsent(c, tlsUnsent)
	return func() { sock.BoundUnsent(c, 0) }
}

// unsent is how many bytes of a request's connection its client has not acknowledged yet; ok is false where that is not known.
func unsent(r *http.Request) (n int64, ok bool) {
	c, ok := connOf(r)
	if !ok {
		return 0, false
	}
	return unacknowledged(c)
}

// paced says whether the kernel paces what is sent on a request's connection.
func paced(r *http.Request) bool {
	c, ok := connOf(r)
	return ok && sock.Paced(c)
}
