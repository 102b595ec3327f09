// Package mse is Message Stream Encryption (also "protocol encryption", PE), as clients of
// BitTorrent have it: a Diffie-Hellman exchange that hides what a connection is, and RC4 for what
// follows. It hides the protocol from those who shape traffic by its looks. It is no security: the
// key is the info hash, which whoever knows the torrent knows, and RC4 is broken.
//
//	A → B  Ya, 0…512 bytes of padding
//	B → A  Yb, 0…512 bytes of padding
//	A → B  HASH("req1", S), HASH("req2", SKEY) xor HASH("req3", S), ENCRYPT(VC, provide, len(PadC), PadC, len(IA)), ENCRYPT(IA)
//	B → A  ENCRYPT(VC, select, len(PadD), PadD)
//
// Both continue by the method that B has selected: RC4, or plaintext.
//
// anacrolix/torrent/mse is not used: whoever accepts with it tries all info hashes for each
// stranger, where [Accept] looks one up; it leaves padding and lengths unchecked, ignores errors
// in what is sent ahead, allocates per read, and starts a goroutine. A test holds that both
// understand each other.
//
// The package starts no goroutine and knows no deadline: the caller sets one on its connection.
package mse
