// Package tracker is the meeting point: peers that want or have the same content announce themselves here and are told of each other.
//
// One logic stands behind two doors, HTTP ([Server.HandleHTTP] for what clients send, [Server.ServeHTTP] for all else: BEP 3, 7, 21, 23, 24,
// 31, 48) and UDP ([Server.HandleUDP]: BEP 15, 41). A door turns bytes into a request and an answer into bytes; what an announce does is decided
// in one place, so that a third door (WebSocket) is one more file.
//
// # Terms
//
// A swarm is all peers of one info hash. A seed has everything; a partial seed has all that it wants and fetches nothing more (BEP 21);
// a leecher wants pieces. A site is the network that a peer says it belongs to (site= in the announce), or else the one that the operator's map
// has it in ([Sites]); the answer names the latter. Peers of one site are told of each other first, then of a few others so that the graph
// stays connected. A token is a word in the announce URL that the operator may ask for ([Config.Token]).
//
// # The life of a peer
//
// An announce puts it into its swarm under the address that the packet or connection came from (never one that it names) and the port
// that it names. Each answer tells it when to come again: soon while the swarm is young or somebody wants pieces, else seldom; the
// interval grows with the swarm so that the load of a swarm is bounded. Who has been silent for one and a half intervals (ten minutes at
// least) is forgotten, who says "stopped" at once. Peers with port 0 cannot be dialled: they are answered but not listed.
// Peers that announce over loopback, as an origin beside its tracker does, are at home: others are told of them at the address at which
// they reached the tracker ([Config.Here] where that is not the right one).
//
// # State and goroutines
//
// Everything is in memory: about 45 bytes per peer, in shards with a mutex each, bounded in total ([Config.MaxPeers],
// [Config.MaxSwarms]); a full tracker still answers, and says in a warning that it did not list the asker. [Server.Save] writes all peers down,
// [Server.Restore] reads them, so that a restart does not empty the swarms (the format is in snapshot.go). Trackers that share their peers
// ([Config.Shared]) tell each other of every announce through a log in Redis, behind their answers; share.go has the format.
//
// [Server.Run] is one goroutine that forgets expired peers, and with a log two more, one that writes it and one that reads it; all end with its
// context. The doors run on their callers' goroutines and are safe for concurrent use.
//
// # Strangers' bytes
//
// A query, a datagram and an answer are bounded before they are looked at. No datagram is answered with more
// bytes than it had until the sender has shown, by a connection id, that it can receive at its address; the ids are stateless, see
// connid.go. Each source may make so many requests per second ([Config.RequestsPerSec]); over UDP only those count that show a good connection
// id, so that nobody can use up another's share.
//
// The tracker never dials anybody but its Redis, never trusts an address in a request but in X-Forwarded-For of a proxy that the operator has named,
// and imports no other room.
package tracker
