// Package dht is a node of a distributed hash table: it finds peers where there is no tracker, and keeps small items for others. It speaks BEP 5 (KRPC,
// look-ups, announces), 32 (IPv6), 42 (IDs tied to addresses), 43 (read-only nodes) and 44 (items, immutable and mutable), on a UDP port that somebody else reads.
//
// # Terms
//
// A node has an [ID]; how near two are is the XOR of theirs. Nodes near to a torrent's info hash remember its peers, those near to an item's target the
// item. A walk goes there: it asks the nearest nodes that it knows for nearer ones, a few at a time, until the nearest eight have answered (walk.go).
// The table knows many nodes near to us and few far away (table.go). IPv4 and IPv6 are two networks, with a table each.
//
// # The life of a torrent
//
// [Node.Find] takes a [Job]. It is looked for at once, and again after 5, 15 and 60 seconds while peers are few, then every ten minutes; each time the nodes
// nearest to it are asked to name us (job.go). What is only given is announced every quarter of an hour, since others forget peers after half an hour to
// three quarters, and at two look-ups a second at most: of ten thousand torrents each in about three hours.
//
// # Strangers
//
// Everything that comes is parsed into bounded, typed values before anything else looks at it (bencode.go, message.go). Only who has answered a question
// of ours, from the address that was asked and with the number that only it was told, gets into the table; of a public network two at most, with IDs that BEP 42
// allows. What is stored has bounds, expires, and when it is full what is nearest to us stays (peers.go, items.go). Who asks has a limit per address (limit.go) and
// gets nothing that is longer than a datagram crosses the Internet with; who wants to store something must have got a token at its address first (token.go). Nobody with a
// public address can name us machines of private networks.
//
// # Why not anacrolix/dht
//
// The design wanted a shell around dht.Server of github.com/anacrolix/dht/v2. What was seen of it, at the version that go.mod pins, left nothing to put a shell around:
//
//   - Three kinds of datagram end the process: announce_peer or put without "a"; any message whose "ip" is shorter than two bytes, and any answer with a peer
//     that is, before OnQuery could refuse it. An answer to a get without "seq" does the same through exts/getput.
//   - find_node and get look at "info_hash" in place of "target", and the nodes that it names are not the closest ones: look-ups among its nodes lead to 0.
//   - Each query name that a stranger invents is remembered in expvar for ever. What is malformed is printed to stderr as it came.
//   - The stores of peers and of items are broken or without bounds; cas is compared with cas; immutable items need a number; every node of a process shares a limit.
//   - Its table, which all of this would have to go around, cannot be reached from outside.
//
// So its parts are used where they are sound: bep44 signs, krpc has the errors' numbers, and all of it is the other side in tests (internal/interop). hostile_test.go sends
// the packets.
//
// # Goroutines
//
// Whoever reads the port calls HandleUDP, which takes answers at once and puts queries into a bounded queue. Node.Run starts, and awaits: two that answer queries, one
// that gives up what waits too long, one that asks nodes for a sign of life, one for each network that looks after the table, one that knows which job is due, and four
// that do jobs. A look-up is made on the goroutine of whoever asks for it, one more for each network. All end with Run's context.
package dht
