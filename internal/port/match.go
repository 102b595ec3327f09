package port

// protocol is what the first bytes of a TCP connection say.
type protocol uint8

const (
	undecided protocol = iota
	bitTorrent
	http
	tls
	unknown
)

func (p protocol) String() string {
	return [...]string{"undecided", "bittorrent", "http", "tls", "unknown"}[p]
}

// prefixes are the exact beginnings; none is the beginning of another.
var prefixes = [...]struct {
	begin string
	is    protocol
}{
	{"\x13BitTorrent protocol", bitTorrent},
	{"\x16\x03", tls},
	{"GET ", http},
	{"HEAD ", http},
	{"POST ", http},
	{"PUT ", http},
	{"DELETE ", http},
	{"OPTIONS ", http},
	{"PATCH ", http},
	{"CONNECT ", http},
	{"TRACE ", http},
	{"PRI * HTTP/2.0", http}, // RFC 9113, 3.4
}

// match says what a connection that began with b is. More bytes never change an answer other than undecided.
func match(b []byte) protocol {
	possible := false
	for i := range prefixes {
		p := &prefixes[i]
		n := min(len(b), len(p.begin))
		if string(b[:n]) != p.begin[:n] {
			continue
		}
		if n == len(p.begin) {
			return p.is
		}
		possible = true
	}
	if possible {
		return undecided
	}
	return unknown
}
