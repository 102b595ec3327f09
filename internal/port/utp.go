package port

const (
	utpHeader = 20
	utpSyn    = 4<<4 | 1 // type ST_SYN, version 1
	utpReset  = 3<<4 | 1 // type ST_RESET, version 1
)

// isUTPSyn says whether a datagram opens a uTP connection (BEP 29, "header format"). Extensions may follow the header.
func isUTPSyn(b []byte) bool { return len(b) >= utpHeader && b[0] == utpSyn }

// appendUTPReset appends the answer that ends what syn begins. BEP 29 does not say what stands in it; libutp and libtorrent want the connection
// id of the SYN, which is the one its sender receives on, and in ack_nr the SYN's seq_nr. Times and window are not looked at.
func appendUTPReset(dst, syn []byte) []byte {
	var r [utpHeader]byte
	r[0] = utpReset
	copy(r[2:4], syn[2:4])     // connection_id
	copy(r[18:20], syn[16:18]) // ack_nr
	return append(dst, r[:]...)
}
