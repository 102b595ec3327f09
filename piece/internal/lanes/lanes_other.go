//go:build !amd64 || purego

package lanes

// Two and Wide are false: one message after the other.
const (
	Two  = false
	Wide = false
)

func blocks256(*[16]uint32, *byte, *byte, int) {}

func blocks1(*[10]uint32, *byte, *byte, int) {}

func blocks16(*[5][16]uint32, *[16]*byte, int) {}
