//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
)

// network is the hosts of a scenario and what joins them. In the middle is a backbone without bounds that
// routes; each machine without a site has a link to it and a subnet to itself, so that no broadcast or
// multicast reaches another. A site has a router whose uplink leads to the backbone, and a bridge on which its
// machines are.
type network struct {
	origin, tracker *host
	machines        []*host
	sites           map[string]*way // their uplinks
	backbone        *namespace
	spaces          []*namespace
}

// host is a machine.
type host struct {
	name  string
	ns    *namespace
	addr  netip.Addr
	spec  group
	way   *way
	where *namespace // where its port is
	port  string
}

// way is a link in both directions, as its inner end sees it.
type way struct{ up, down *link }

// link is one direction of a link: a queue that can be read.
type link struct {
	name   string
	rate   rate
	ns     *namespace
	device string
	index  int32 // of the device
}

// networks numbers those of this process.
var networks atomic.Int32

func buildNetwork(ctx context.Context, s *scenario) (_ *network, err error) {
	run := fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), networks.Add(1))
	n := &network{sites: make(map[string]*way)}
	defer func() {
		if err != nil {
			n.remove()
		}
	}()
	space := func(name string) *namespace {
		if err != nil {
			return nil
		}
		var x *namespace
		if x, err = addNamespace(ctx, run+"-"+name); err == nil {
			n.spaces = append(n.spaces, x)
			err = x.setup(ctx)
		}
		return x
	}
	if n.backbone = space("net"); err != nil {
		return nil, err
	}
	// Where hosts are attached: a namespace, and which port follows.
	routers := map[string]*namespace{"": n.backbone}
	subnets := byte(0)
	inSite := map[string]byte{}  // the subnet
	hostsAt := map[string]byte{} // how many
	for _, x := range s.Sites {
		r := space("site-" + x.Name)
		if err != nil {
			return nil, err
		}
		routers[x.Name] = r
		subnets++
		inSite[x.Name] = subnets
		port := "site-" + x.Name
		lan := fmt.Sprintf("198.18.%d", subnets)
		if err := n.backbone.batch(ctx, "ip",
			"link add "+port+" type veth peer name wan netns "+r.name,
			fmt.Sprintf("addr add 198.19.%d.1/30 dev %s", subnets, port),
			"link set "+port+" up"); err != nil {
			return nil, err
		}
		if err := r.batch(ctx, "ip",
			fmt.Sprintf("addr add 198.19.%d.2/30 dev wan", subnets), "link set wan up",
			fmt.Sprintf("route add default via 198.19.%d.1", subnets),
			"link add br0 type bridge mcast_snooping 0", "addr add "+lan+".1/24 dev br0", "link set br0 up"); err != nil {
			return nil, err
		}
		if err := n.backbone.batch(ctx, "ip", fmt.Sprintf("route add %s.0/24 via 198.19.%d.2", lan, subnets)); err != nil {
			return nil, err
		}
		w := &way{up: &link{name: "site " + x.Name + " up", rate: x.Up, ns: r, device: "wan"}, down: &link{name: "site " + x.Name + " down", rate: x.Down, ns: n.backbone, device: port}}
		n.sites[x.Name] = w
		if err := w.shape(ctx); err != nil {
			return nil, err
		}
	}
	attach := func(name, short string, g group) (*host, error) {
		ns := space(short)
		if err != nil {
			return nil, err
		}
		at := routers[g.Site]
		h := &host{name: name, ns: ns, spec: g, where: at, port: short}
		lines := []string{"link add " + short + " type veth peer name eth0 netns " + ns.name}
		var gateway string
		if g.Site == "" {
			subnets++
			gateway = fmt.Sprintf("198.18.%d.1", subnets)
			h.addr = netip.AddrFrom4([4]byte{198, 18, subnets, 2})
			lines = append(lines, "addr add "+gateway+"/24 dev "+short)
		} else {
			hostsAt[g.Site]++
			gateway = fmt.Sprintf("198.18.%d.1", inSite[g.Site])
			h.addr = netip.AddrFrom4([4]byte{198, 18, inSite[g.Site], 1 + hostsAt[g.Site]})
			lines = append(lines, "link set "+short+" master br0")
		}
		if err := at.batch(ctx, "ip", append(lines, "link set "+short+" up")...); err != nil {
			return nil, err
		}
		if err := ns.batch(ctx, "ip", "addr add "+h.addr.String()+"/24 dev eth0", "link set eth0 up", "route add default via "+gateway); err != nil {
			return nil, err
		}
		h.way = &way{up: &link{name: name + " up", rate: g.Up, ns: ns, device: "eth0"}, down: &link{name: name + " down", rate: g.Down, ns: at, device: short}}
		return h, h.way.shape(ctx)
	}
	if n.tracker, err = attach("tracker", "tracker", group{}); err != nil {
		return nil, err
	}
	if n.origin, err = attach("origin", "origin", group{Up: s.Origin.Up, Down: s.Origin.Down}); err != nil {
		return nil, err
	}
	for _, g := range s.Machines {
		for range g.Count {
			i := len(n.machines)
			h, err := attach(machineName(i), fmt.Sprintf("m%d", i+1), g)
			if err != nil {
				return nil, err
			}
			n.machines = append(n.machines, h)
		}
	}
	return n, n.hide(ctx)
}

// hide puts machines behind NAT: the backbone carries what they send to the origin and the tracker alone.
func (n *network) hide(ctx context.Context) error {
	var lines []string
	for _, m := range n.machines {
		if m.spec.NAT {
			lines = append(lines, "rule add iif "+m.port+" lookup 100")
		}
	}
	if len(lines) == 0 {
		return nil
	}
	for _, h := range []*host{n.origin, n.tracker} {
		lines = append(lines, "route add "+h.addr.String()+" dev "+h.port+" table 100")
	}
	return n.backbone.batch(ctx, "ip", append(lines, "route add blackhole default table 100")...)
}

// queueTime is how long the queue before a shaped link is.
const queueTime = 0.1

// shape bounds both directions, and finds the devices' numbers.
func (w *way) shape(ctx context.Context) error {
	for _, l := range []*link{w.up, w.down} {
		// Every queue is one whose counters can be read; this one never fills.
		line := "qdisc add dev " + l.device + " root pfifo limit 10000"
		if l.rate > 0 {
			// 4 ms at once: from 130 Mbit/s on packets of 64 KiB need not be split, which costs most of the time.
			perSecond := float64(l.rate) / 8
			line = fmt.Sprintf("qdisc add dev %s root tbf rate %.0fbit burst %.0f limit %.0f", l.device, float64(l.rate),
				max(16<<10, perSecond/250), max(64<<10, perSecond*queueTime))
		}
		if err := l.ns.batch(ctx, "tc", line); err != nil {
			return err
		}
		err := l.ns.inside(func() error {
			i, err := net.InterfaceByName(l.device)
			if err == nil {
				l.index = int32(i.Index)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unplug takes a host off the network without a word to anybody.
func (h *host) unplug() error {
	return command(context.Background(), "", "ip", "-n", h.where.name, "link", "set", h.port, "down")
}

func (n *network) remove() {
	for _, x := range n.spaces {
		x.remove()
	}
}
