//go:build !linux

package portmap

import (
	"errors"
	"net/netip"
)

// gateway is not looked up here: only UPnP is tried, which finds the router by itself.
func gateway() (netip.Addr, error) {
	return netip.Addr{}, errors.New("the router's address is not looked up on this system")
}
