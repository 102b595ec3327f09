//go:build !linux

package sock

import (
	"net"
	"os"
)

// BoundUnsent does nothing here.
func BoundUnsent(net.Conn, int) {}

// WakeBound does nothing here.
func WakeBound(net.Conn, int) {}

// Paced does not know here.
func Paced(net.Conn) bool { return false }

// SendFile cannot here.
func SendFile(net.Conn, []byte, *os.File, int64, int64) (ok bool, err error) { return false, nil }
