package sim

import (
	"testing"
	"time"
)

// Machines that are told of no site find their neighbours, and each piece crosses their border about once.
func TestSiteIsFoundByMulticast(t *testing.T) {
	s := Scenario{Latency: time.Millisecond, LANLatency: time.Millisecond / 10, Multicast: true, Hosts: []Host{{Up: 20e6, Origin: true}},
		Sites: map[string]Pipe{"a": {20e6, 20e6}, "b": {20e6, 20e6}}}
	for _, name := range []string{"a", "b"} {
		s.Hosts = append(s.Hosts, Host{Count: 3, Up: 200e6, Down: 200e6, Site: name})
	}
	x := simulate(t, s, 1)
	if x.Finished != 6 || x.Ingress > 1.1 {
		t.Errorf("%d of 6 machines have everything, and %.3f of the content came into a site, want 1.1 at most", x.Finished, x.Ingress)
	}
}
