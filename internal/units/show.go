package units

import "fmt"

// Show is a number of bytes for people to read: 1023 B, 1.5 KiB, 10 MiB. What is negative is 0 B.
func Show(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", max(n, 0))
	}
	v, unit := float64(n)/1024, 0
	for v >= 1024 {
		v /= 1024
		unit++
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %ciB", v, units[unit])
	}
	return fmt.Sprintf("%.0f %ciB", v, units[unit])
}
