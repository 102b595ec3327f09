package webfetch

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"
)

const maxRedirects = 5

// checkRedirect is http.Client's.
func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	switch last := via[len(via)-1].URL.Scheme; {
	case next.URL.Scheme != "http" && next.URL.Scheme != "https":
		return fmt.Errorf("redirected to the scheme %.20q", next.URL.Scheme)
	case last == "https" && next.URL.Scheme == "http":
		return fmt.Errorf("redirected from https to http")
	}
	return nil
}

// newTransport is for one source: HTTP/1.1, whose connections carry bulk with less ado than HTTP/2's windows, with bounds on everything a server
// chooses.
func newTransport(base *url.URL) *http.Transport {
	h1 := new(http.Protocols)
	h1.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            newGuard(base).dial,
		Protocols:              h1,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// guard keeps a server on the Internet from using us to reach machines behind our firewall: a redirect from a public address to a local one is not
// dialled. A web seed that is itself local, or stands for one by its name, is what the user asked for.
type guard struct {
	asked   map[string]bool // host:port of the source, and of proxies
	local   atomic.Bool     // the source's address is local
	isLocal func(netip.Addr) bool
}

func newGuard(base *url.URL) *guard {
	g := &guard{asked: map[string]bool{HostPort(base): true}, isLocal: isLocal}
	for _, scheme := range []string{"http", "https"} {
		r := &http.Request{URL: &url.URL{Scheme: scheme, Host: base.Host}}
		if proxy, err := http.ProxyFromEnvironment(r); err == nil && proxy != nil {
			g.asked[HostPort(proxy)] = true
		}
	}
	return g
}

func (g *guard) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if g.asked[addr] {
		c, err := d.DialContext(ctx, network, addr)
		if err == nil && g.isLocal(c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()) {
			g.local.Store(true)
		}
		return c, err
	}
	if !g.local.Load() {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			if a, err := netip.ParseAddrPort(address); err != nil || g.isLocal(a.Addr().Unmap()) {
				return fmt.Errorf("redirected from a public server to the local address %s", address)
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, addr)
}

func isLocal(a netip.Addr) bool {
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast()
}

// HostPort is the HOST:PORT of a URL, as http.Transport names what it dials: without a port it is that of the scheme.
func HostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
