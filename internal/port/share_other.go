//go:build !linux

package port

import (
	"errors"
	"net"
	"syscall"
)

// Elsewhere SO_REUSEPORT is missing or does not spread the load.
func sharePort(syscall.Conn) error       { return errors.ErrUnsupported }
func sharePortRaw(syscall.RawConn) error { return errors.ErrUnsupported }

func deferAccept(*net.TCPListener) {}
