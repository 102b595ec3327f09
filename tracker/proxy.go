package tracker

import (
	"net/netip"
	"strings"
)

// client is the address that a request over HTTP came from: its sender's, or if that is a proxy which the operator trusts, the last address in
// X-Forwarded-For that is not. What stands before that one is whatever the client wrote itself. source is in the store's form.
func (s *Server) client(source netip.Addr, forwarded string) netip.Addr {
	if forwarded == "" || !s.trusts(source) {
		return source
	}
	for forwarded != "" {
		i := strings.LastIndexByte(forwarded, ',')
		addr, ok := parseForwarded(strings.TrimSpace(forwarded[i+1:]))
		if !ok {
			return source // the proxy's own address, as before: better one wrong peer than one that a stranger has made up
		}
		source = addr
		if !s.trusts(source) {
			return source
		}
		forwarded = forwarded[:max(i, 0)]
	}
	return source
}

func (s *Server) trusts(a netip.Addr) bool {
	for _, p := range s.config.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parseForwarded reads an address as proxies write them: some with a port, some with brackets.
func parseForwarded(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")); err == nil {
		return source(a), true
	}
	if a, err := netip.ParseAddrPort(text); err == nil {
		return source(a.Addr()), true
	}
	return netip.Addr{}, false
}
