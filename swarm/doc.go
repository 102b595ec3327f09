// Package swarm is this machine's part in swarms: it fetches content from peers and web seeds,
// verifies every byte, and gives it to others. It speaks standard BitTorrent over TCP: BEP 3, 6, 9,
// 10, 11, 12, 14, 19, 20, 21, 27, 40, 47, 52, 53 and 54, and BEP 5 with peers (PORT); the DHT itself is swarm/dht.
//
// A [Node] is one identity; a [Transfer] is one torrent of it, fetched or seeded. A transfer that
// is awake has a session: one event loop that owns all of its state.
//
// # The life of a block
//
// The loop picks a piece for a source (ask.go: rarest first, one source a piece, late binding) and
// asks for it. The connection's reader (conn.go) receives the block, checks it against its leaf if
// the leaves are known (hashes.go: BEP 52 hash requests), and writes it at its final offset in a
// part file (store.go). When all blocks of a piece are there and not all were proven by leaves, the
// piece is read back and hashed (fetch.go). A verified piece goes into the journal (journal.go) and
// is offered to peers (tell.go). When everything wanted is verified, parts get their names (store.place).
//
// # Giving
//
// upload.go decides whose request is next, outbox.go writes. Shoal peers are always unchoked;
// others get BEP 3's slots. An origin leases pieces in a crowd (reveal.go), so that each leaves
// about once, and may have a [Ration] for the day (hunger.go: who is given more all the same).
// Inside a site a piece crosses the border once (site.go). Web seeds are the last resort while
// peers deliver, and everything while there are none (webseed.go).
//
// # Finding and reaching each other
//
// Peers come from trackers (swarm/announce), from each other (pex.go: BEP 11), from the LAN
// (neighbours.go and swarm/lan: BEP 14), and by name. Each is asked for admission first (admit.go).
// Connections may be encrypted (encrypt.go and swarm/mse). Who is of our site is found out in
// sitekey.go: by a shared key, by a name and nearness, or without a name by discovery on the LAN.
// What others may ask for while choked is in fastset.go, what a node gives up in donthave.go.
//
// # Trust
//
// Nothing a peer says is believed beyond a prior. Blame goes to the peer, by its id and the address
// it listens at, for ten minutes; never to an IP address alone (book.go). Pieces that came from
// several sources and are wrong are fetched again from one.
//
// # Goroutines
//
// Node.Run starts and awaits all: the announcer, discovery on the LAN, a loop per awake transfer, and what loops start
// (dials, hashing, web seed requests). A connection has a reader, on the goroutine of whoever
// brought it, and a writer; both talk to the loop by functions put into its inbox, and the loop
// never waits for them: outboxes are slices, bounded by windows, slots and the number of pieces. A
// seed without connections puts its loop to sleep after half a minute and forgets its torrent.
//
// # The simulator
//
// What takes time or reaches beyond the loop's memory goes through world (world.go). [Virtual] is a node in
// a world of swarm/sim: the same loop under a virtual clock, in a network that is a model.
//
// The package does not know what a version or a release is, and installs nothing.
package swarm
