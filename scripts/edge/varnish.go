//go:build linux

package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"shoal/scripts/internal/program"
)

// varnish is a running Varnish.
type varnish struct {
	*program.Running
	url     string
	storage string // the file of what it keeps; its log in shared memory lies elsewhere
}

// varnish starts one as a cache of an origin with a file of room bytes, of which it never takes more. nginx would take more: it looks at its max_size every ten seconds, and a trace of
// a minute is over before that keeps it within its room.
func (b *bench) varnish(ctx context.Context, origin string, room int64) (*varnish, error) {
	dir, err := os.MkdirTemp(b.dir, "varnish-")
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	addr, err := program.FreeAddr()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "cache.vcl")
	text := fmt.Sprintf(`vcl 4.1;
backend default { .host = "%s"; .port = "%s"; }
sub vcl_backend_response {
	if (beresp.status == 200) { set beresp.ttl = 30d; set beresp.grace = 30d; } else { set beresp.uncacheable = true; }
}
sub vcl_deliver {
	if (obj.hits > 0) { set resp.http.X-Cache = "HIT"; }
}
`, u.Hostname(), u.Port())
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	storage := filepath.Join(dir, "storage")
	// What is evicted for one answer is not bounded: by default it may be 50 others, which are too few for a large file in place of small ones.
	r, err := program.Start(ctx, "varnishd", "-F", "-j", "none", "-n", filepath.Join(dir, "work"), "-a", addr, "-f", config,
		"-s", fmt.Sprintf("file,%s,%d", storage, room), "-p", "nuke_limit=100000")
	if err != nil {
		return nil, err
	}
	if err := r.Answers(ctx, addr); err != nil {
		return nil, err
	}
	return &varnish{r, "http://" + addr, storage}, nil
}
