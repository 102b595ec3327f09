// Package wire is the BitTorrent peer wire protocol: handshakes and messages as bytes.
//
// It covers BEP 3 (messages), BEP 5 (PORT), BEP 6 (fast extension), BEP 9 (metadata exchange), BEP 10
// (extension protocol), BEP 11 (peer exchange), BEP 21 (upload_only), BEP 52 (hash requests, the
// v2 handshake bit) and BEP 54 (lt_donthave).
// Whatever a stranger sends is bounded before it is allocated: see [MaxBlock] and its neighbours. The package keeps
// no state beyond a buffered reader and starts no goroutine.
//
// anacrolix/torrent's peer_protocol is not used: its decoder ends a connection on a message type
// it does not know, makes a bool of every bit of a bitfield, and encodes through reflection.
package wire
