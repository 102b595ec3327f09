package daemon

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"time"

	"shoal/tracker"
)

// newTracker makes the tracker, if there is to be one.
func (s *Server) newTracker(outside []netip.Addr) error {
	cfg := &s.cfg
	if !cfg.Tracker {
		return nil
	}
	tc := tracker.Config{Log: cfg.Log, NameOf: s.seeder.NameOf, Here: here(outside), TrustedProxies: cfg.TrustedProxies, RequestsPerSec: cfg.RequestsPerSec}
	switch {
	case cfg.AllowFile != "":
		allow := &followed[hashSet]{what: "allow list", path: cfg.AllowFile, parse: parseAllow}
		if err := follow(s, allow); err != nil {
			return err
		}
		tc.Allow, tc.AllowVersion = func(hash [20]byte) bool { return allow.get()[hash] }, allow.version.Load
	case !cfg.Open:
		tc.Allow = s.seeder.Allows
	}
	if cfg.TokensFile != "" {
		tokens := &followed[map[string]bool]{what: "tokens", path: cfg.TokensFile, parse: parseTokens}
		if err := follow(s, tokens); err != nil {
			return err
		}
		tc.Token = func(token string) bool { return tokens.get()[token] }
	}
	if cfg.SiteMapFile != "" {
		sites := &followed[*tracker.Sites]{what: "site map", path: cfg.SiteMapFile, parse: tracker.ParseSites}
		if err := follow(s, sites); err != nil {
			return err
		}
		tc.Sites = sites.get
	}
	if cfg.Redis != "" {
		var err error
		if s.redis, err = tracker.NewRedis(cfg.Redis); err != nil {
			return err
		}
		tc.Shared = s.redis
	}
	s.tracker = tracker.New(tc)
	if cfg.StateDir != "" {
		s.restorePeers()
	}
	return nil
}

// publicAddresses are those at which others reach this machine, when its operator has said so by a URL; none when not, or when the name leads nowhere.
func publicAddresses(ctx context.Context, public string) (list []netip.Addr) {
	u, err := url.Parse(public)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	found, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	for _, a := range found {
		list = append(list, a.Unmap())
	}
	return list
}

// here tells the tracker where peers on this machine are reached from outside.
func here(outside []netip.Addr) func(netip.Addr) netip.Addr {
	if len(outside) == 0 {
		return nil
	}
	return func(peer netip.Addr) netip.Addr {
		for _, a := range outside {
			if a.Is4() == peer.Unmap().Is4() {
				return a
			}
		}
		return netip.Addr{}
	}
}
