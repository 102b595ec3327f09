package daemon

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// metrics writes in Prometheus' text format (version 0.0.4). All names of metrics are in this file.
type metrics struct{ bytes.Buffer }

// metric begins a metric: its kind is counter or gauge, its help a sentence that names the unit.
func (m *metrics) metric(name, kind, help string) {
	fmt.Fprintf(m, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// value adds a value; labels are names and values in turn.
func (m *metrics) value(name string, v float64, labels ...string) {
	m.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		before := ","
		if i == 0 {
			before = "{"
		}
		fmt.Fprintf(m, `%s%s="%s"`, before, labels[i], escapeLabel.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		m.WriteByte('}')
	}
	m.WriteString(" " + strconv.FormatFloat(v, 'g', -1, 64) + "\n")
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// one is a metric with one value.
func (m *metrics) one(name, kind, help string, v float64) {
	m.metric(name, kind, help)
	m.value(name, v)
}

func (s *Server) metrics(w http.ResponseWriter) {
	var m metrics
	m.metric("shoal_info", "gauge", "Always 1; the labels say what runs.")
	m.value("shoal_info", 1, "role", s.role(), "version", s.cfg.Version)
	m.one("shoal_uptime_seconds", "gauge", "How long the node has run, in seconds.", time.Since(s.started).Seconds())
	s.contentMetrics(&m)
	s.edgeMetrics(&m)
	s.trackerMetrics(&m)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(m.Bytes())
}

func (s *Server) contentMetrics(m *metrics) {
	var all []ContentStatus
	for _, c := range s.seeder.Contents() {
		all = append(all, s.contentStatus(c))
	}
	if len(all) == 0 {
		return
	}
	m.metric("shoal_content_size_bytes", "gauge", "Size of a content, in bytes.")
	for _, c := range all {
		m.value("shoal_content_size_bytes", float64(c.Bytes), "content", c.Name, "infohash", c.Infohash)
	}
	m.metric("shoal_content_peers", "gauge", "Peers that this node is connected to for a content.")
	for _, c := range all {
		m.value("shoal_content_peers", float64(c.Peers), "content", c.Name, "infohash", c.Infohash)
	}
	m.metric("shoal_content_sent_bytes_total", "counter", "Bytes of a content that were sent to peers and over HTTP.")
	for _, c := range all {
		m.value("shoal_content_sent_bytes_total", float64(c.SentPeer), "content", c.Name, "infohash", c.Infohash, "to", "peers")
		m.value("shoal_content_sent_bytes_total", float64(c.SentHTTP), "content", c.Name, "infohash", c.Infohash, "to", "http")
	}
}

func (s *Server) trackerMetrics(m *metrics) {
	if s.tracker == nil {
		return
	}
	st := s.tracker.Stats()
	m.one("shoal_tracker_swarms", "gauge", "Swarms that the tracker knows.", float64(st.Swarms))
	m.metric("shoal_tracker_peers", "gauge", "Peers that the tracker knows, by what they have: everything (seed), all they want (partial), or less (leecher).")
	m.value("shoal_tracker_peers", float64(st.Seeds), "kind", "seed")
	m.value("shoal_tracker_peers", float64(st.Partial), "kind", "partial")
	m.value("shoal_tracker_peers", float64(st.Leechers), "kind", "leecher")
	m.metric("shoal_tracker_announces_total", "counter", "Announces that were answered, by protocol.")
	m.value("shoal_tracker_announces_total", float64(st.AnnouncesHTTP), "protocol", "http")
	m.value("shoal_tracker_announces_total", float64(st.AnnouncesUDP), "protocol", "udp")
	m.one("shoal_tracker_udp_connects_total", "counter", "Connection ids that were given out over UDP.", float64(st.ConnectsUDP))
	m.one("shoal_tracker_scrapes_total", "counter", "Scrapes that were answered.", float64(st.Scrapes))
	m.metric("shoal_tracker_rejected_total", "counter", "Requests that got an error: refused (info hash or token), limited (too many from one source), malformed (made no sense, or had an old connection id).")
	m.value("shoal_tracker_rejected_total", float64(st.Refused), "why", "refused")
	m.value("shoal_tracker_rejected_total", float64(st.Limited), "why", "limited")
	m.value("shoal_tracker_rejected_total", float64(st.Malformed), "why", "malformed")
	if st.Shared != "" {
		up := 0.0
		if st.Shared == "yes" {
			up = 1
		}
		m.one("shoal_tracker_shared", "gauge", "Whether peers are shared with other trackers at the moment: 1, or 0 while the connection is lost.", up)
	}
}
