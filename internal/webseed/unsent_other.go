//go:build !linux

package webseed

import "net"

func unacknowledged(net.Conn) (int64, bool) { return 0, false }
