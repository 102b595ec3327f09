package daemon

import (
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"shoal/seeder"
)

// public is what the open port serves over HTTP.
func (s *Server) public() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "Shoal/"+s.cfg.Version)
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(30 * time.Second)) // who sends more than a page sets another
		switch path := r.URL.Path; {
		case s.tracker != nil && s.tracker.Serves(path):
			s.tracker.ServeHTTP(w, r)
		case s.cfg.Repository != nil && seeder.RepositoryPath(path):
			s.repository.ServeHTTP(w, r)
		case s.pushes != nil && (path == seeder.PushPath || strings.HasPrefix(path, seeder.PushPath+"/")):
			s.pushes.ServeHTTP(w, r)
		case s.fleet != nil && s.fleet.serves(path):
			s.fleet.ServeHTTP(w, r)
		case path == "/":
			s.page(w)
		case path == "/healthz":
			s.health(w)
		case path == "/metrics":
			s.metrics(w)
		case path == "/api/v1/status":
			writeJSON(w, s.Status())
		case s.edge != nil:
			s.edgePublic(w, r)
		default:
			s.seeder.ServeHTTP(w, r)
		}
	})
}

// control is what the control socket serves: the status, and all that changes the node.
func (s *Server) control() http.Handler {
	mux := control(s)
	if s.edge != nil {
		s.edgeControl(mux)
	}
	if s.fleet != nil {
		s.fleet.control(mux)
	}
	return mux
}

func (s *Server) health(w http.ResponseWriter) {
	type shoal struct {
		Role string `json:"role"`
	}
	writeJSON(w, struct {
		OK    bool  `json:"ok"`
		Shoal shoal `json:"shoal"`
	}{true, shoal{s.role()}})
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own structs marshal
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(b, '\n'))
}

// pageTemplate is made when somebody looks: each start of any command paid for it.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("status").Funcs(template.FuncMap{
		"size": func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) },
		"url":  func(s string) string { return "/" + s },
	}).Parse(pageText))
})

const pageText = `<!doctype html><meta charset="utf-8"><title>Shoal</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3em .8em .3em 0;border-bottom:1px solid #ddd}td.n,th.n{text-align:right}</style>
<h1>Shoal {{.Role}}</h1>
<p>Up for {{printf "%.0f" .Uptime}} s on port {{.Port}}. The same as JSON: <a href="/api/v1/status">/api/v1/status</a></p>
{{if .Contents}}<table><tr><th>Content<th class=n>Size<th class=n>Peers<th class=n>Sent<th class=n>Copies<th></tr>
{{range .Contents}}<tr><td><a href="{{url .Name}}.torrent">{{.Name}}</a>{{if .Error}}<br><small>{{.Error}}</small>{{end}}<td class=n>{{size .Bytes}}<td class=n>{{.Peers}}<td class=n>{{size .SentPeer}} to peers, {{size .SentHTTP}} over HTTP<td class=n>{{printf "%.2f" .Copies}}<td><code>{{slice .Infohash 0 12}}</code></tr>
{{end}}</table>{{end}}
{{with .Edge}}<p>{{.Kept}} contents kept, {{.Fetching}} on their way: {{size .Used}} of {{size .Quota}}. {{size .Requests.Saved}} saved at the origin.</p>
<table><tr><th>Content<th class=n>Size<th></tr>
{{range .Contents}}<tr><td>{{.Name}}<td class=n>{{size .Bytes}}<td><code>{{slice .Infohash 0 12}}</code></tr>
{{end}}</table>{{end}}
<p>{{.DHT}}{{with .DHT.Stats}}{{with .IPv4}}; {{.Good}} nodes over IPv4{{end}}{{with .IPv6}}; {{.Good}} over IPv6{{end}}{{end}}.</p>
{{with .Tracker}}<p>Tracker: {{.Swarms}} swarms, {{.Seeds}} seeds, {{.Leechers}} leechers, {{printf "%.1f" .AnnouncesPerSec}} announces per second.</p>{{end}}
`

func (s *Server) page(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	if err := pageTemplate().Execute(w, s.Status()); err != nil {
		s.cfg.Log.Debug("status page", "err", err)
	}
}
