package cli

import (
	"strings"
	"testing"

	"shoal/edgecache"
)

// What shoal edge ls and ring print is a table each: every column has a heading, and what has no room is told below.
func TestEdgeTablesHaveHeadings(t *testing.T) {
	t.Parallel()
	st := &edgecache.Status{
		Contents: []edgecache.ContentStatus{{Name: "a@1.0", Kind: "T", Pinned: true, Owned: true, State: "whole"}, {Name: "b", State: "parts"}},
		NoRoom:   &edgecache.Lack{Contents: 2, Bytes: 5 << 20, Names: []string{"big@1.0"}},
		Ring:     &edgecache.RingStatus{Self: "x", Members: []edgecache.MemberStatus{{Member: edgecache.Member{Name: "x", Draining: true}}}},
	}
	drained := *st
	drained.Ring = &edgecache.RingStatus{Self: "x", Draining: true, Drained: true, Members: st.Ring.Members}
	var kept, ring, left strings.Builder
	writeKept(&kept, st)
	writeRing(&ring, st)
	writeRing(&left, &drained)
	for text, want := range map[string]map[string]string{
		kept.String(): {"WHY": "pinned, followed"},
		ring.String(): {"NOTE": "this one, drains"},
		left.String(): {"NOTE": "this one, drained until it is started again"},
	} {
		lines := strings.Split(text, "\n")
		for head, cell := range want {
			if at := strings.Index(lines[0], head); at < 0 || strings.Index(lines[1], cell) != at {
				t.Errorf("%q does not stand below %s in\n%s", cell, head, text)
			}
		}
	}
	for _, want := range []string{"asked for\n", "no room within the quota and on the disk for 2 contents, 5.0 MiB; the largest: big@1.0\n"} {
		if !strings.Contains(kept.String(), want) {
			t.Errorf("%q is missing in\n%s", want, kept.String())
		}
	}
}

// Where peers alone have got something, the share of HTTP that was here is none at all, and not 0 %.
func TestEdgeTellsWhatWentWhichWay(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]edgecache.Requests{
		"; nothing went over HTTP, 70 MiB went to peers; 1.0 MiB were not asked": {PeerBytes: 70 << 20, Saved: 1 << 20},
		"; of the bytes over HTTP 75.0% were here, 0 B went to peers; ":          {HitBytes: 3 << 20, MissBytes: 1 << 20, ByteRatio: 0.75},
	} {
		var b strings.Builder
		writeKept(&b, &edgecache.Status{Requests: r})
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}
