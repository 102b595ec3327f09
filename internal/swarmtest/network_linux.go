package swarmtest

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// Network is a switch of its own in this computer, with hosts on it that are network namespaces.
type Network struct {
	t      testing.TB
	bridge string // a namespace with the switch
	hosts  int
}

// networks numbers the networks of this process.
var networks atomic.Int32

// NewNetwork makes a network without hosts. It needs root: call Require with "netns" and "ip" before.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	n := &Network{t: t, bridge: fmt.Sprintf("shoal-%d-%d", os.Getpid(), networks.Add(1))}
	n.namespace(n.bridge)
	n.ip("-n", n.bridge, "link", "add", "br0", "type", "bridge")
	n.ip("-n", n.bridge, "link", "set", "br0", "up")
	return n
}

// Host adds a machine: 198.18.0.1, then 198.18.0.2, and so on.
func (n *Network) Host() *Host {
	n.t.Helper()
	n.hosts++
	name := fmt.Sprintf("%s-%d", n.bridge, n.hosts)
	n.namespace(name)
	port := fmt.Sprintf("port%d", n.hosts)
	n.ip("-n", n.bridge, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
	n.ip("-n", n.bridge, "link", "set", port, "master", "br0", "up")
	addr := netip.AddrFrom4([4]byte{198, 18, 0, byte(n.hosts)})
	n.ip("-n", name, "addr", "add", addr.String()+"/16", "dev", "eth0")
	n.ip("-n", name, "link", "set", "eth0", "up")
	return newHost(n.t, addr, []string{"ip", "netns", "exec", name})
}

// Cut takes a host's cable out, and Mend puts it in again.
func (n *Network) Cut(h *Host) { n.cable(h, "down") }

// Mend ends what Cut began.
func (n *Network) Mend(h *Host) { n.cable(h, "up") }

func (n *Network) cable(h *Host, state string) {
	n.t.Helper()
	n.ip("-n", n.bridge, "link", "set", fmt.Sprintf("port%d", h.Addr.As4()[3]), state)
}

// namespace adds one that ends with the test.
func (n *Network) namespace(name string) {
	n.t.Helper()
	n.ip("netns", "add", name)
	n.t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	n.ip("-n", name, "link", "set", "lo", "up")
}

func (n *Network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}
