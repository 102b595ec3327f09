package swarm

import (
	"net"
	"time"

	"golang.org/x/sys/unix"

	"shoal/internal/sock"
)

// readGauge reads what the kernel knows of a connection; false if it does not tell.
func readGauge(nc net.Conn) (g gauge, ok bool) {
	sock.Control(nc, func(fd int) {
		i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || i.Min_rtt == 0 || i.Min_rtt == 1<<32-1 { // before 4.9 it is not there
			return
		}
		g = gauge{acked: i.Bytes_acked, queued: int64(i.Unacked)*int64(i.Snd_mss) + int64(i.Notsent_bytes),
			rtt: time.Duration(i.Rtt) * time.Microsecond, least: time.Duration(i.Min_rtt) * time.Microsecond}
		ok = true
	})
	return g, ok
}

// rtt is the smoothed round trip time of a connection; a long time where it is not known.
func rtt(nc net.Conn) time.Duration {
	d := time.Hour
	sock.Control(nc, func(fd int) {
		if i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && i.Rtt > 0 {
			d = time.Duration(i.Rtt) * time.Microsecond
		}
	})
	return d
}
