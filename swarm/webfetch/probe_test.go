package webfetch

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestProbeFindsTheRole(t *testing.T) {
	in := v1Info(t, "f", testFile{"", []byte("x")})
	for _, c := range []struct {
		name string
		answer
		want string
		err  bool
	}{
		{"origin", answer{200, nil, `{"shoal":{"role":"origin"},"more":[1]}`}, "origin", false},
		{"edge", answer{200, nil, `{"shoal":{"role":"edge"}}`}, "edge", false},
		{"unknown role", answer{200, nil, `{"shoal":{"role":"king"}}`}, "", false},
		{"no Shoal", answer{200, nil, `ok`}, "", false},
		{"other JSON", answer{200, nil, `{"shoal":"origin"}`}, "", false},
		{"not found", answer{404, nil, `{"shoal":{"role":"origin"}}`}, "", false},
		{"redirect", answer{302, map[string]string{"Location": "http://127.0.0.1:1/"}, ""}, "", false},
		{"endless", answer{200, nil, `{"shoal":{"role":"origin"},"x":"` + strings.Repeat("x", 1<<20)}, "", false},
	} {
		var path string
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { path = r.URL.Path; c.ServeHTTP(w, r) }))
		s := newSource(t, in, srv.URL+"/content/x/")
		role, err := s.Probe(t.Context())
		srv.Close()
		if role != c.want || (err != nil) != c.err || s.Role() != c.want || path != "/healthz" {
			t.Errorf("%s: %q, %v, Role() %q, asked %s; want %q", c.name, role, err, s.Role(), path, c.want)
		}
	}
	s := newSource(t, in, "http://127.0.0.1:1/")
	if role, err := s.Probe(t.Context()); err == nil || role != "" || s.Role() != "" {
		t.Errorf("nobody there: %q, %v", role, err)
	}
}
