// Package announce tells trackers what this node has and wants, and hears of other peers from
// them: the client side of BEP 3, 7, 12, 15, 21, 23, 31, 41 and 48, for one torrent or ten thousand.
//
// Each tier of a torrent's trackers (BEP 12) is announced to by itself: the trackers of a tier
// stand in for each other, and the one that works moves to its front; tiers are different meeting
// points, so all are used. One heap holds what is due when, and a few workers do it; there is no
// goroutine per torrent.
//
// How often: as the tracker says (its interval), but early while pieces are missing and peers are
// few, see cadence.go: a peer that comes up a second later is found. A tracker that cannot be
// reached is asked again after 1 s, doubling to 5 min, for all torrents together, and it never
// holds all workers: ten thousand torrents on a dead tracker do not delay one on another.
//
// Run is the only thing that starts goroutines and waits for them; at its end it says "stopped"
// to the trackers that know of us, for two seconds at the most. What a tracker answers is bounded:
// 1 MiB, 1,000 peers. Own codecs: the client of anacrolix/torrent/tracker/udp waits 15 s before it
// sends again, and accepts any sender's answer.
package announce
