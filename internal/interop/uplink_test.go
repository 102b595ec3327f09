package interop

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// An origin whose uplink has 20 Mbit/s, with a queue of 100 ms, gives to three machines as fast as it can. A
// neighbour's packets do not wait for it as long as that.
func TestUploadsLeaveTheQueueShort(t *testing.T) {
	swarmtest.Require(t, "netns", "ip", "tc", "ping", "sysctl")
	n := swarmtest.NewNetwork(t)
	origin := n.Host()
	origin.Do("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "20mbit", "burst", "5kb", "latency", "100ms")
	origin.Do("sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno") // which fills a queue, and is allowed everywhere
	const size = 10 << 20                                              // which takes four seconds
	s := serve(origin, swarmtest.File(t, origin.Path("release.bin"), size))
	ping := n.Host().StartProgram("ping", "-i", "0.05", origin.Addr.String())
	var gets []*swarmtest.Process
	for range 3 {
		gets = append(gets, n.Host().Start("get", s.url, "-o", "out"))
	}
	begin := time.Now()
	for _, g := range gets {
		g.Succeed()
	}
	t.Logf("%d bytes to three in %v", size, time.Since(begin))
	ping.Signal(syscall.SIGINT)
	ping.Wait()
	var times []float64
	for _, m := range regexp.MustCompile(`time=([0-9.]+) ms`).FindAllStringSubmatch(fmt.Sprint(ping.Lines()), -1) {
		ms, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, ms)
	}
	if len(times) < 20 {
		t.Fatalf("%d answers to pings, want some for each second: %s", len(times), ping.Output())
	}
	slices.Sort(times)
	median := times[len(times)/2]
	t.Logf("%d pings: median %.1f ms, 90 %% within %.1f ms", len(times), median, times[len(times)*9/10])
	if median > 60 {
		t.Errorf("a packet waits %.0f ms in the uplink's queue, want about 25", median)
	}
}
