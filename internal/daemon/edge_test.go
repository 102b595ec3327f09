package daemon

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"shoal/edgecache"
)

// What an operator watches of an edge is in its metrics, also before its origin has answered.
func TestEdgeMetrics(t *testing.T) {
	origin := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	s := runServer(t, ServeConfig{StateDir: t.TempDir(), Edge: &edgecache.Config{Origins: []*url.URL{origin}, FirstUse: true, Quota: 16 << 20, PullThrough: true,
		Cluster: edgecache.Cluster{Name: "edge-1", Gossip: "127.0.0.1:0", Key: "a key of a test"}}})
	seen := seenMetrics(t, getBody(t, http.DefaultClient, fmt.Sprintf("http://%s/metrics", s.Addr())))
	for name, values := range map[string]int{"quota_bytes": 1, "used_bytes": 1, "contents": 2, "requests_total": 3, "served_bytes_total": 4, "saved_bytes_total": 1, "hit_ratio": 2,
		"fetched_bytes_total": 3, "fills_total": 2, "dropped_total": 4, "dropped_bytes_total": 4, "peers": 1, "origin_up": 1, "members": 1, "owned_contents": 1} {
		if seen["shoal_edge_"+name] != values {
			t.Errorf("shoal_edge_%s has %d values, want %d", name, seen["shoal_edge_"+name], values)
		}
	}
	if text := getBody(t, http.DefaultClient, fmt.Sprintf("http://%s/api/v1/status", s.Addr())); !strings.Contains(text, `"ring":{"self":"edge-1"`) {
		t.Errorf("status %s", text)
	}
}
