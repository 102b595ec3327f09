package dht

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// What the store of peers holds at most. 100 MB could not be filled with it: about 100 bytes a peer.
const (
	maxHashes       = 4000
	maxPeersOfHash  = 500
	maxPeersInAll   = 100_000
	maxPortsOfOneIP = 16 // per info hash; many machines may stand behind one address
	// peerTime is how long a peer is named after its last announce.
	peerTime = 45 * time.Minute
)

// peerStore remembers who announced what. It never grows past its bounds: when it is full, what is farthest from our ID goes, since that is
// others' to keep.
type peerStore struct {
	mu    sync.Mutex
	swarm map[ID][]storedPeer
	total int
}

type storedPeer struct {
	addr netip.AddrPort
	at   time.Time
}

// add remembers a peer.
func (s *peerStore) add(self, hash ID, a netip.AddrPort, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.swarm == nil {
		s.swarm = make(map[ID][]storedPeer)
	}
	list := s.swarm[hash]
	sameIP, oldest := 0, -1
	for i, p := range list {
		if p.addr == a {
			list[i].at = now
			return
		}
		if p.addr.Addr() == a.Addr() {
			if sameIP++; oldest < 0 || p.at.Before(list[oldest].at) {
				oldest = i
			}
		}
	}
	switch {
	case sameIP >= maxPortsOfOneIP:
		list[oldest] = storedPeer{a, now}
		return
	case len(list) >= maxPeersOfHash:
		list[rand.IntN(len(list))] = storedPeer{a, now}
		return
	case len(list) == 0 && len(s.swarm) >= maxHashes, s.total >= maxPeersInAll:
		far, ok := s.farthest(self)
		if !ok || !closer(self, hash, far) {
			return
		}
		s.total -= len(s.swarm[far])
		delete(s.swarm, far)
	}
	s.swarm[hash] = append(list, storedPeer{a, now})
	s.total++
}

func (s *peerStore) farthest(self ID) (far ID, ok bool) {
	for h := range s.swarm {
		if !ok || closer(self, far, h) {
			far, ok = h, true
		}
	}
	return far, ok
}

// peers names up to n peers of one address family, any of them.
func (s *peerStore) peers(hash ID, v6 bool, n int, now time.Time) (list []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.swarm[hash]
	if len(all) == 0 {
		return nil
	}
	from := rand.IntN(len(all))
	for i := range all {
		p := all[(from+i)%len(all)]
		if p.addr.Addr().Is6() == v6 && now.Sub(p.at) < peerTime && len(list) < n {
			list = append(list, p.addr)
		}
	}
	return list
}

// expire forgets those who have not announced for long.
func (s *peerStore) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h, list := range s.swarm {
		n := len(list)
		list = slices.DeleteFunc(list, func(p storedPeer) bool { return now.Sub(p.at) >= peerTime })
		s.total -= n - len(list)
		if s.swarm[h] = list; len(list) == 0 {
			delete(s.swarm, h)
		}
	}
}

func (s *peerStore) count() (hashes, peers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.swarm), s.total
}
