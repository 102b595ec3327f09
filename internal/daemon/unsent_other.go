//go:build !linux

package daemon

import "net"

func boundUnsent(net.Conn) {}
