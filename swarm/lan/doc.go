// Package lan finds peers on the networks that this machine is attached to: local service
// discovery (BEP 14), by UDP multicast to 239.192.152.143:6771 and [ff15::efc0:988f]:6771.
//
// A [Discovery] says which torrents this node takes part in, when it begins to and every five
// minutes after that, and remembers which neighbours said the same. A neighbour that is new is
// answered to its own address, so that it need not wait for our next turn. What is private must
// not be given to it.
//
// Everything is bounded: the size of what is read, the datagrams that are looked at and sent in a
// second, the neighbours that are remembered. A datagram counts only if its sender is on a network
// that the interface it came in by is attached to: nobody far away can pass for a neighbour.
// Loopback interfaces are left alone unless they are asked for, as are all others when the node
// listens on loopback only.
//
// Run has a goroutine for each family's socket and one that sends; it returns when all have ended.
// The table is behind a mutex. A network that comes or goes is noticed within half a minute.
package lan
