package cli

import (
	"errors"
	"fmt"
	"io/fs"

	"shoal/internal/daemon"
	"shoal/swarm"
	"shoal/swarm/ipset"
)

// peerOptions say with whom a node speaks, and how.
func peerOptions() []option {
	return []option{
		{name: "encryption", value: "HOW", usage: "hide connections from onlookers: prefer takes both kinds and dials in plaintext first", def: "prefer",
			choices: []string{"prefer", "require", "off"}},
		{name: "site-key", value: "KEY", usage: "a secret of this site's machines: who has it is of the site, and nobody else; best set by SHOAL_SITE_KEY or the file",
			secret: true, check: checkSiteKey},
		{name: "no-lan", kind: kindBool, usage: "do not look for neighbours on the LAN, or tell them of us (BEP 14)"},
		{name: "map-port", kind: kindBool, usage: "ask the router to let others in to our port (PCP, NAT-PMP, UPnP)"},
		{name: "allow-peers", value: "FILE", usage: "speak with peers of these addresses only: one, or a CIDR, a line", complete: "file"},
		{name: "block-peers", value: "FILE", usage: "do not speak with peers of these addresses", complete: "file"},
	}
}

// minKey is how short a key that many share may be, in bytes: it can be guessed at offline by who hears a proof, or something encrypted with it.
const minKey = 12

func checkSiteKey(text string) error { return checkKey("a site's key", text) }

func checkClusterKey(text string) error { return checkKey("a cluster's key", text) }

func checkKey(what, text string) error {
	if n := len(text); n > 0 && n < minKey {
		return fmt.Errorf("%s has %d characters at least, this one %d", what, minKey, n)
	}
	return nil
}

// How many connections for one content suit a node that serves many, and one that fetches.
const (
	serverPeers = 200
	clientPeers = 80
)

// swarmConfig is a node's configuration as far as the command line says it, and what is needed
// beside the node to keep to it.
func (e *env) swarmConfig(role swarm.Role, peers int) (swarm.Config, daemon.Around, error) {
	how, _ := swarm.ParseEncryption(e.settings.String("encryption"))
	around := daemon.Around{NoLAN: e.settings.Bool("no-lan"), MapPort: e.settings.Bool("map-port")}
	var err error
	around.Filter, err = ipset.LoadFilter(e.settings.String("allow-peers"), e.settings.String("block-peers"))
	var file *fs.PathError
	if err != nil && !errors.As(err, &file) {
		err = usagef("an address, a network such as 192.0.2.0/24, or a range a line", "%s", err)
	}
	if err != nil {
		return swarm.Config{}, around, err
	}
	return swarm.Config{
		Role: role, Site: e.settings.String("site"), SiteKey: e.settings.String("site-key"), Encryption: how, UserAgent: userAgent(),
		MaxPeers: peers,
	}, around, nil
}
