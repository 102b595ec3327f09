package portmap

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"strings"
)

// gateway is the router that this machine's default route of IPv4 leads through.
func gateway() (netip.Addr, error) {
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return netip.Addr{}, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// Iface Destination Gateway Flags RefCnt Use Metric Mask …; addresses are the kernel's words in hex.
		x := strings.Fields(lines.Text())
		if len(x) < 8 || x[1] != "00000000" || x[7] != "00000000" {
			continue
		}
		b, err := hex.DecodeString(x[2])
		if err == nil && len(b) == 4 {
			var ip [4]byte
			binary.NativeEndian.PutUint32(ip[:], binary.BigEndian.Uint32(b))
			if a := netip.AddrFrom4(ip); !a.IsUnspecified() {
				return a, nil
			}
		}
	}
	return netip.Addr{}, errNoGateway
}

var errNoGateway = errors.New("there is no default route")
