//go:build !amd64 || purego

package lanes

// Two is false: one message after the other.
const Two = false

func blocks256(*[16]uint32, *byte, *byte, int) {}

func blocks1(*[10]uint32, *byte, *byte, int) {}
