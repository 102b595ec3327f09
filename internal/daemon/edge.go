package daemon

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"shoal/edgecache"
	"shoal/internal/deliver"
	"shoal/seeder"
)

// EdgePath is where the control socket of an edge takes changes, as POST with a JSON object: pin (name, seconds; 0: for good; the answer is an edgecache.Pinned), unpin
// (name), drain. If it cannot be a line of text says why: with 422 the name stands for nothing, with 409 nobody can take over, else 400; 507 and an edgecache.TooLargeError if there is no room for it.
const EdgePath = "/api/v1/edge/"

// graceTime is how long responses that are under way may take when the node is to stop.
const graceTime = 60 * time.Second

// newEdge makes the edge, if the node is to be one.
func (s *Server) newEdge() (err error) {
	if s.cfg.Edge == nil {
		return nil
	}
	c := *s.cfg.Edge
	c.Node, c.StateDir, c.Log, c.Cluster.Port, c.Items = s.node, s.cfg.StateDir, s.cfg.Log, s.Port(), s.items
	c.Cluster.TLS, c.Cluster.PublicURL = s.cfg.TLSCert != "", s.cfg.PublicURL
	s.edge, err = edgecache.New(c)
	return err
}

// edgePublic serves what an edge has: signed files, contents, and for other edges what is here.
func (s *Server) edgePublic(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "Shoal/"+s.cfg.Version+deliver.EdgeServer)
	path := r.URL.Path
	if key, ok := strings.CutPrefix(path, edgecache.HoldsPath); ok {
		writeJSON(w, struct {
			Holds string `json:"holds"`
		}{s.edge.Holds(key, r.URL.Query())})
		return
	}
	id, below, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if seeder.RepositoryPath(path) || seeder.RepositoryPath("/"+below) && len(id) == 32 {
		if s.edge.ServeFile(w, r) {
			return
		}
		dir, file, elsewhere, ok := s.edge.Public(r)
		if !ok {
			s.edge.Unknown(w, r)
			return
		}
		for _, url := range elsewhere {
			deliver.AddDuplicate(w.Header(), url)
		}
		in := r.Clone(r.Context())
		in.URL.Path = "/" + file
		seeder.ServeRepository(dir).ServeHTTP(w, in)
		return
	}
	s.edge.ServeHTTP(w, r)
}

// edgeControl takes changes of an edge.
func (s *Server) edgeControl(mux *http.ServeMux) {
	mux.HandleFunc("POST "+EdgePath+"{what}", func(w http.ResponseWriter, r *http.Request) {
		var x struct {
			Name    string  `json:"name"`
			Seconds float64 `json:"seconds"`
		}
		var answer any = struct{}{}
		var tooLarge *edgecache.TooLargeError
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&x)
		switch what := r.PathValue("what"); {
		case err != nil:
		case what == "pin":
			answer, err = s.edge.Pin(x.Name, time.Duration(x.Seconds*float64(time.Second)))
		case what == "unpin":
			err = s.edge.Unpin(x.Name)
		case what == "drain":
			err = s.edge.Drain()
		default:
			http.NotFound(w, r)
			return
		}
		switch {
		case errors.As(err, &tooLarge):
			w.WriteHeader(http.StatusInsufficientStorage)
			writeJSON(w, tooLarge)
		case errors.Is(err, edgecache.ErrNobody), errors.Is(err, edgecache.ErrNotPinned):
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		case errors.Is(err, edgecache.ErrAlone):
			http.Error(w, err.Error(), http.StatusConflict)
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		default:
			writeJSON(w, answer)
		}
	})
}

// edgeMetrics are those of an edge.
func (s *Server) edgeMetrics(m *metrics) {
	if s.edge == nil {
		return
	}
	st := s.edge.Status()
	m.one("shoal_edge_quota_bytes", "gauge", "How much of the disk the edge may take, in bytes.", float64(st.Quota))
	m.one("shoal_edge_used_bytes", "gauge", "How much of that is taken or promised to what is being fetched, in bytes.", float64(st.Used))
	m.metric("shoal_edge_contents", "gauge", "Contents that take room, by state.")
	m.value("shoal_edge_contents", float64(st.Kept), "state", "whole")
	m.value("shoal_edge_contents", float64(st.Fetching), "state", "fetching")
	m.one("shoal_edge_no_room_bytes", "gauge", "Size of the contents that are followed or pinned and have no room within the quota, in bytes.", float64(cmp.Or(st.NoRoom, &edgecache.Lack{}).Bytes))
	m.metric("shoal_edge_requests_total", "counter", "Requests for content over HTTP, by what came of them: hit (it was here), miss (served while it came in, or failed), redirect (led elsewhere).")
	m.value("shoal_edge_requests_total", float64(st.Requests.Hits), "result", "hit")
	m.value("shoal_edge_requests_total", float64(st.Requests.Misses), "result", "miss")
	m.value("shoal_edge_requests_total", float64(st.Requests.Redirects), "result", "redirect")
	m.metric("shoal_edge_served_bytes_total", "counter", "Bytes of content that were served: over HTTP from what was here (hit) or was coming in (miss), and to peers; to other edges either way.")
	m.value("shoal_edge_served_bytes_total", float64(st.Requests.HitBytes), "way", "hit")
	m.value("shoal_edge_served_bytes_total", float64(st.Requests.MissBytes), "way", "miss")
	m.value("shoal_edge_served_bytes_total", float64(st.Requests.PeerBytes), "way", "peers")
	m.value("shoal_edge_served_bytes_total", float64(st.Requests.EdgeBytes), "way", "edges")
	m.one("shoal_edge_saved_bytes_total", "counter", "Bytes of content that were served and not got from an origin.", float64(st.Requests.Saved))
	m.metric("shoal_edge_hit_ratio", "gauge", "Share of what was asked for over HTTP that was here, of requests and of bytes, since the start.")
	m.value("shoal_edge_hit_ratio", st.Requests.HitRatio, "of", "requests")
	m.value("shoal_edge_hit_ratio", st.Requests.ByteRatio, "of", "bytes")
	m.metric("shoal_edge_fetched_bytes_total", "counter", "Bytes of content that were fetched, by where from.")
	m.value("shoal_edge_fetched_bytes_total", float64(st.Fetched.FromOrigin), "from", "origin")
	m.value("shoal_edge_fetched_bytes_total", float64(st.Fetched.FromEdges), "from", "edges")
	m.value("shoal_edge_fetched_bytes_total", float64(st.Fetched.FromPeers), "from", "peers")
	m.metric("shoal_edge_fills_total", "counter", "Fetches of whole contents, by how they ended.")
	m.value("shoal_edge_fills_total", float64(st.Fetched.Contents), "result", "whole")
	m.value("shoal_edge_fills_total", float64(st.Fetched.Failed), "result", "failed")
	m.one("shoal_edge_mended_total", "counter", "Contents whose files had changed on disk, and that were fetched again where they had.", float64(st.Fetched.Mended))
	m.one("shoal_edge_rotten_total", "counter", "Of those, contents whose files looked as they did: their disk gave other bytes than were written.", float64(st.Fetched.Rotten))
	m.one("shoal_edge_scrubbed_bytes_total", "counter", "Bytes of content that were read again and found to be right.", float64(st.Fetched.Scrubbed))
	m.metric("shoal_edge_dropped_bytes_total", "counter", "Bytes of disk that were given back, by why: room (for something worth more), quota, withdrawn, gone (from its origin).")
	reasons := []string{"room", "quota", "withdrawn", "gone"}
	for _, why := range reasons {
		m.value("shoal_edge_dropped_bytes_total", float64(st.Dropped[why].Bytes), "why", why)
	}
	m.metric("shoal_edge_dropped_total", "counter", "Contents that were removed, by why.")
	for _, why := range reasons {
		m.value("shoal_edge_dropped_total", float64(st.Dropped[why].Contents), "why", why)
	}
	peers, alone := 0, 0
	for _, c := range st.Contents {
		if peers += c.Peers; c.State == "fetching" && c.Peers == 0 {
			alone++
		}
	}
	m.one("shoal_edge_peers", "gauge", "Connections to peers in the swarms of all contents.", float64(peers))
	m.one("shoal_edge_fetching_without_peers", "gauge", "Contents that are being fetched with no peer connected: over HTTP alone, or not at all.", float64(alone))
	m.metric("shoal_edge_origin_up", "gauge", "1 if the origin answered when it was asked last, else 0.")
	for _, o := range st.Origins {
		up := 0.0
		if o.Error == "" {
			up = 1
		}
		m.value("shoal_edge_origin_up", up, "origin", o.URL)
	}
	if st.Ring == nil {
		return
	}
	m.one("shoal_edge_members", "gauge", "Edges of the cluster that are there, this one included.", float64(len(st.Ring.Members)))
	m.metric("shoal_edge_owned_contents", "gauge", "How many contents each edge of the cluster is to keep, as this one sees it.")
	draining := 0
	for _, x := range st.Ring.Members {
		if x.Draining {
			draining++
		}
		m.value("shoal_edge_owned_contents", float64(x.Owns), "edge", x.Name)
	}
	m.one("shoal_edge_draining_members", "gauge", "Edges of the cluster that the others take over from.", float64(draining))
}
