package announce

import (
	"sync"
	"time"
)

// idLife is how long a connection id is used: a tracker takes it for two minutes, a client may use
// it for one (BEP 15).
const idLife = 55 * time.Second

// sockets keeps sockets to UDP trackers between requests: an announce over one that is connected
// is one round trip and not two, and ten thousand of them use as many ports as there are workers.
type sockets struct {
	mu   sync.Mutex
	idle map[string][]*socket // by HOST:PORT, the latest last
}

// take returns a socket whose connection id is still good, or nil.
func (p *sockets) take(host string) *socket {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.idle[host]
	if len(l) == 0 {
		return nil
	}
	s := l[len(l)-1]
	p.idle[host] = l[:len(l)-1]
	if time.Since(s.since) > idLife { // then the others are older
		s.conn.Close()
		for _, o := range p.idle[host] {
			o.conn.Close()
		}
		delete(p.idle, host)
		return nil
	}
	return s
}

// put keeps a socket for the next request.
func (p *sockets) put(host string, s *socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle == nil {
		p.idle = make(map[string][]*socket)
	}
	for name, l := range p.idle { // those of trackers that nobody asks any more
		if len(l) > 0 && time.Since(l[len(l)-1].since) > idLife {
			for _, o := range l {
				o.conn.Close()
			}
			delete(p.idle, name)
		}
	}
	p.idle[host] = append(p.idle[host], s)
}

// close closes those that are idle.
func (p *sockets) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.idle {
		for _, s := range l {
			s.conn.Close()
		}
	}
	p.idle = nil
}
