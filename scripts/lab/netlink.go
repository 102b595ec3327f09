//go:build linux

package main

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// meters reads the counters of the queues in one namespace (rtnetlink(7)). Those count what is on the wire:
// a large packet that the kernel splits later counts with all its headers, which interface counters miss.
type meters struct{ fd int }

func (n *namespace) meters() (*meters, error) {
	m := &meters{}
	err := n.inside(func() (err error) {
		m.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("netlink socket in %s: %w", n.name, err)
	}
	// A dump that never ends must not hold the round.
	if err := unix.SetsockoptTimeval(m.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *meters) close() { unix.Close(m.fd) }

// reading is the state of a device's queue.
type reading struct {
	bytes   uint64 // sent
	packets uint32
	backlog uint32 // bytes that wait
	drops   uint32
}

const (
	tcmsgLen    = 20 // struct tcmsg of linux/rtnetlink.h
	tcaStats2   = 7  // TCA_STATS2, with these inside (linux/gen_stats.h)
	statsBasic  = 1
	statsQueue  = 3
	rootHandle  = 0xffffffff
	attrTypeMax = 0x3fff
)

// read returns the root queues by index of their device.
func (m *meters) read() (map[int32]reading, error) {
	ask := make([]byte, unix.SizeofNlMsghdr+tcmsgLen)
	binary.NativeEndian.PutUint32(ask[0:], uint32(len(ask)))
	binary.NativeEndian.PutUint16(ask[4:], unix.RTM_GETQDISC)
	binary.NativeEndian.PutUint16(ask[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	if err := unix.Sendto(m.fd, ask, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("asking for queues: %w", err)
	}
	found := make(map[int32]reading)
	for b := make([]byte, 64<<10); ; {
		n, _, err := unix.Recvfrom(m.fd, b, 0)
		if err != nil {
			return nil, fmt.Errorf("reading queues: %w", err)
		}
		for msg := b[:n]; len(msg) >= unix.SizeofNlMsghdr; {
			size := int(binary.NativeEndian.Uint32(msg))
			if size < unix.SizeofNlMsghdr || size > len(msg) {
				return nil, fmt.Errorf("netlink message of %d bytes in %d", size, len(msg))
			}
			switch binary.NativeEndian.Uint16(msg[4:]) {
			case unix.NLMSG_DONE:
				return found, nil
			case unix.NLMSG_ERROR:
				return nil, fmt.Errorf("asking for queues: netlink error")
			case unix.RTM_NEWQDISC:
				if body := msg[unix.SizeofNlMsghdr:size]; len(body) >= tcmsgLen && binary.NativeEndian.Uint32(body[12:]) == rootHandle {
					found[int32(binary.NativeEndian.Uint32(body[4:]))] = parseQueue(body[tcmsgLen:])
				}
			}
			msg = msg[min((size+3)&^3, len(msg)):]
		}
	}
}

func parseQueue(b []byte) (r reading) {
	attributes(b, func(kind uint16, value []byte) {
		if kind != tcaStats2 {
			return
		}
		attributes(value, func(kind uint16, value []byte) {
			switch {
			case kind == statsBasic && len(value) >= 12:
				r.bytes = binary.NativeEndian.Uint64(value)
				r.packets = binary.NativeEndian.Uint32(value[8:])
			case kind == statsQueue && len(value) >= 12:
				r.backlog = binary.NativeEndian.Uint32(value[4:])
				r.drops = binary.NativeEndian.Uint32(value[8:])
			}
		})
	})
	return r
}

// attributes calls f for each attribute in b.
func attributes(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&attrTypeMax, b[unix.SizeofRtAttr:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}
