package dht

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"shoal/internal/disk"
)

// stateFile is the file below Config.Dir that outlives a run.
const stateFile = "nodes.json"

// state is what it holds. Nothing in it is precious.
type state struct {
	// IDs are ours, by address family; addresses are those that they were made for (BEP 42).
	ID4      string      `json:"id4,omitempty"`
	ID6      string      `json:"id6,omitempty"`
	Address4 string      `json:"address4,omitempty"`
	Address6 string      `json:"address6,omitempty"`
	Saved    time.Time   `json:"saved"`
	Nodes    []savedNode `json:"nodes"`
}

type savedNode struct {
	ID      string         `json:"id"`
	Address netip.AddrPort `json:"address"`
}

const (
	maxStateBytes = 1 << 20
	maxSaved      = 500
)

// load begins with what the last run knew. A file that makes no sense is as good as none.
func (n *Node) load() {
	if n.cfg.Dir == "" {
		return
	}
	f, err := os.Open(filepath.Join(n.cfg.Dir, stateFile))
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			n.cfg.Log.Warn("reading the nodes of the last run", "err", err)
		}
		return
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxStateBytes))
	if err == nil {
		err = n.take(b)
	}
	if err != nil {
		n.cfg.Log.Warn("reading the nodes of the last run", "err", err)
	}
}

// take begins with what a state file says.
func (n *Node) take(b []byte) error {
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return err
	}
	for f, own := range [...]struct{ id, address string }{{st.ID4, st.Address4}, {st.ID6, st.Address6}} {
		id, ok := parseID(own.id)
		if h := n.nets[f]; ok && h != nil {
			h.mu.Lock()
			h.table = table{self: id}
			h.self, _ = netip.ParseAddr(own.address)
			h.mu.Unlock()
		}
	}
	var saved []contact
	for _, s := range st.Nodes[:min(len(st.Nodes), maxSaved)] {
		if id, ok := parseID(s.ID); ok && reachable(s.Address) {
			saved = append(saved, contact{id, netip.AddrPortFrom(s.Address.Addr().Unmap(), s.Address.Port())})
		}
	}
	n.saved.Store(&saved)
	return nil
}

func parseID(text string) (id ID, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(id) {
		return id, false
	}
	return ID(b), true
}

// save writes what the next run is to begin with. If we know nobody, what was known before is worth more.
func (n *Node) save(now time.Time) {
	if n.cfg.Dir == "" {
		return
	}
	st := state{Saved: now.UTC().Round(time.Second)}
	for f, h := range n.nets {
		if h == nil {
			continue
		}
		h.mu.Lock()
		id, self := h.table.self.String(), ""
		if h.self.IsValid() {
			self = h.self.String()
		}
		for _, c := range h.table.all(now) {
			st.Nodes = append(st.Nodes, savedNode{c.id.String(), c.addr})
		}
		h.mu.Unlock()
		if family(f) == v4 {
			st.ID4, st.Address4 = id, self
		} else {
			st.ID6, st.Address6 = id, self
		}
	}
	if len(st.Nodes) == 0 {
		return
	}
	st.Nodes = st.Nodes[:min(len(st.Nodes), maxSaved)]
	b, err := json.MarshalIndent(st, "", "\t")
	if err == nil {
		if err = os.MkdirAll(n.cfg.Dir, 0o755); err == nil {
			err = disk.WriteFile(filepath.Join(n.cfg.Dir, stateFile), append(b, '\n'), 0o600)
		}
	}
	if err != nil {
		n.cfg.Log.Warn("saving the nodes of the DHT", "err", err)
	}
}
