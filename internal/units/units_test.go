package units

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseRate(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64
	}{
		{"0", 0}, {"0.0", 0}, {"0K", 0}, {"0bit", 0}, {"1500", 1500}, {"1500B", 1500}, {"500K", 500_000}, {"500k", 500_000}, {"20M", 20_000_000},
		{"20MB", 20_000_000}, {"20MB/s", 20_000_000}, {"1G", 1e9}, {"1T", 1e12}, {"1Ki", 1024}, {"20Mi", 20 << 20},
		{"20MiB/s", 20 << 20}, {"1gi", 1 << 30}, {"1.5Gi", 3 << 29}, {"0.5K", 500}, {"1.9", 1}, {" 7 M ", 7_000_000},
		{"20Mbit", 2_500_000}, {"20Mbit/s", 2_500_000}, {"8bit", 1}, {"1Gbit", 125_000_000}, {"1MIBIT", 1 << 17}, {"8Kibit", 1024},
		{"9223372036854775807", 1<<63 - 1}, {"8388607Ti", 8388607 << 40},
	} {
		got, err := ParseRate(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("ParseRate(%q) = %d, %v, want %d", tt.in, got, err, tt.want)
		}
	}
}

func TestParseRateRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "empty",
		"  ":                   "empty",
		"-1":                   "negative",
		"-1M":                  "negative",
		"+1":                   "not a number",
		"M":                    "not a number",
		".5M":                  "not a number",
		"5.M":                  "not a number",
		"1e6":                  "unknown unit",
		"0x10":                 "unknown unit",
		"1_000":                "unknown unit",
		"inf":                  "not a number",
		"NaN":                  "not a number",
		"20Mb":                 "bits or bytes",
		"20Mbps":               "bits or bytes",
		"4bit":                 "less than a byte",
		"0.5bit":               "less than a byte",
		"0.5":                  "less than a byte",
		"0.0001K":              "less than a byte",
		"20Mbits":              "unknown unit",
		"20P":                  "unknown unit",
		"20 apples":            "unknown unit",
		"9223372036854775808":  "too large",
		"8388608Ti":            "too large",
		"99999999999999999999": "too large",
		"99999999999999999.9T": "too large",
		"1.1234567891":         "digits behind the point",
	} {
		if got, err := ParseRate(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseRate(%q) = %d, %v, want an error with %q", in, got, err, want)
		}
	}
}

func TestParseSizeKnowsNoBits(t *testing.T) {
	if got, err := ParseSize("4Mi"); err != nil || got != 4<<20 {
		t.Errorf("ParseSize(4Mi) = %d, %v, want %d", got, err, 4<<20)
	}
	for _, in := range []string{"20Mbit", "20M/s", "1Mb", "-3", "0.5", "0.0009K"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}

// Whatever is accepted is a number of bytes that can be written plainly and means the same then,
// and bits are eighths of bytes.
func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"1500", "20M", "1.5Gi", "20Mbit", "20MB/s", "-1", "8388608Ti", "1.000000001T", "0.9bit", "1Kİ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseRate(s)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("ParseRate(%q) = %d, negative", s, n)
		}
		if again, err := ParseRate(fmt.Sprint(n)); err != nil || again != n {
			t.Fatalf("ParseRate(%q) = %d, but ParseRate of that = %d, %v", s, n, again, err)
		}
		if again, err := ParseRate(Format(n)); err != nil || again != n {
			t.Fatalf("Format(%d) = %q, which is %d, %v", n, Format(n), again, err)
		}
		if _, unit, _ := parseAmount(s); unit != "" {
			return
		}
		if asBits, err := ParseRate(strings.TrimSpace(s) + "bit"); err == nil && asBits != n/8 {
			t.Fatalf("ParseRate(%q) = %d, but in bits %d", s, n, asBits)
		}
	})
}

func TestFormat(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 1: "1", 1500: "1500", 5_000_000: "5M", 2 << 20: "2Mi", 1024: "1Ki", 1_024_000: "1024K", 1e12: "1T", 1e15: "1000T", 1<<63 - 1: "9223372036854775807"} {
		if got := Format(n); got != want {
			t.Errorf("Format(%d) = %q, want %q", n, got, want)
		}
	}
}
