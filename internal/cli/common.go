package cli

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"shoal/internal/daemon"
	"shoal/internal/disk"
)

// The options that several commands share. A command takes those groups that mean something to it.

// outputOptions belong to every command.
func outputOptions() []option {
	return []option{
		{name: "json", kind: kindBool, usage: "print one JSON object per line instead of text"},
		{name: "quiet", short: "q", kind: kindBool, usage: "no progress, no notices: results and errors only"},
		{name: "config", value: "FILE", usage: "read settings from a TOML file", complete: "file", invocation: true},
	}
}

// logOptions are for commands that run long or talk to a network. level is the default of --log-level.
func logOptions(level string) []option {
	return []option{
		{name: "log-level", value: "LEVEL", usage: "least level of the log on stderr", def: level, choices: []string{"debug", "info", "warn", "error"}},
		{name: "log-format", value: "FORMAT", usage: "format of the log", def: "text", choices: []string{"text", "json"}},
	}
}

// swarmOptions are for commands that take part in a swarm. listen is the default of --listen; who has a port of its own there serves many.
func swarmOptions(listen string) []option {
	peers := clientPeers
	if listen != ":0" {
		peers = serverPeers
	}
	return concat([]option{
		listenOption(listen),
		{name: "site", value: "NAME", usage: "name of the site this machine is at: neighbours come first"},
	}, rateOptions(), []option{maxPeersOption(strconv.Itoa(peers))})
}

// trackerOptions are for commands with a tracker.
func trackerOptions() []option {
	return concat([]option{
		{name: "announce-limit", kind: kindInt, value: "N", usage: "answer at most so many announces per second of one address, for a while ten times as many; 0 is no limit", def: "100"},
		{name: "trusted-proxies", kind: kindList, value: "CIDR", usage: "believe X-Forwarded-For of proxies in this network; may be repeated", check: checkCIDR},
		{name: "site-map", value: "FILE", usage: "which networks are at which site, one CIDR and one name a line: neighbours come first", complete: "file"},
	}, tlsOptions())
}

// tlsOptions are for commands with a port that speaks HTTP.
func tlsOptions() []option {
	return []option{
		{name: "tls-cert", value: "FILE", usage: "speak TLS as well, on the same port, with this certificate (PEM)", complete: "file"},
		{name: "tls-key", value: "FILE", usage: "the key of --tls-cert (PEM)", complete: "file"},
	}
}

func checkCIDR(text string) error {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return fmt.Errorf("%q is not a network such as 10.0.0.0/8 or 2001:db8::/32", text)
	}
	if p != p.Masked() {
		return fmt.Errorf("%q has bits set behind its length: is %s meant?", text, p.Masked())
	}
	return nil
}

// setTracker takes what trackerOptions say into a node's configuration.
func (e *env) setTracker(c *daemon.ServeConfig) error {
	c.RequestsPerSec = int(e.settings.Int("announce-limit"))
	c.SiteMapFile = e.settings.String("site-map")
	for _, text := range e.settings.List("trusted-proxies") {
		c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(text)) // checked
	}
	return e.setTLS(c)
}

// setTLS takes what tlsOptions say into a node's configuration.
func (e *env) setTLS(c *daemon.ServeConfig) error {
	c.TLSCert, c.TLSKey = e.settings.String("tls-cert"), e.settings.String("tls-key")
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return usagef("a certificate and its key belong together", "give both --tls-cert and --tls-key, or neither")
	}
	return nil
}

// dhtOptions are for commands that find peers by themselves.
func dhtOptions() []option {
	return []option{
		{name: "dht", value: "MODE", usage: "which DHT to find peers in: auto is public if a public address is involved, else off", def: "auto",
			choices: []string{daemon.DHTAuto, daemon.DHTPublic, daemon.DHTPrivate, daemon.DHTOff}},
		{name: "dht-bootstrap", kind: kindList, value: "HOST:PORT", usage: "a node to begin with, in place of the public ones; may be repeated; makes auto private", check: checkListen},
	}
}

// dht is what they say. hosts are those that the content comes from, private says that it is private.
func (e *env) dht(private bool, hosts ...string) daemon.DHTConfig {
	return daemon.DHTConfig{Mode: e.settings.String("dht"), Bootstrap: e.settings.List("dht-bootstrap"), PrivateContent: private, Hosts: hosts}
}

// listenOption is for commands with a port.
func listenOption(def string) option {
	return option{name: "listen", value: "HOST:PORT", usage: "address to listen on; without a HOST all addresses", def: def, check: checkListen}
}

// waitOptions are for commands that wait for others and can give up.
func waitOptions(stall string) []option {
	return []option{
		{name: "deadline", kind: kindDuration, value: "TIME", usage: "give up after so long, exit 6; 0 is never"},
		{name: "stall-timeout", kind: kindDuration, value: "TIME", usage: "give up when no byte came for so long, exit 6; 0 is never", def: stall},
	}
}

// stateOptions are for commands that keep something between runs.
func stateOptions() []option {
	return []option{
		{name: "state-dir", value: "DIR", usage: "where this machine keeps its state (default depends on the system)", complete: "dir", defFrom: defaultStateDir},
	}
}

// checkListen accepts what net.Listen will: [HOST]:PORT, port 0 for any free one.
func checkListen(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT, such as :7070 or [::1]:7070", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: a port is a number up to 65535", text)
	}
	return nil
}

// checkURL returns a check for an absolute URL of one of the schemes.
func checkURL(schemes ...string) func(string) error {
	return func(text string) error {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
			return fmt.Errorf("%q is not a URL with %s://", text, strings.Join(schemes, ":// or "))
		}
		return nil
	}
}

// defaultStateDir is "" where the system has no place for state: then whoever needs it asks disk for the error.
func defaultStateDir() string {
	dir, _ := disk.DefaultStateDir()
	return dir
}
