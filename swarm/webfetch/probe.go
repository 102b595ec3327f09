package webfetch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Role is what the last Probe found: "origin", "edge", or "" for none and as long as nobody has asked.
func (s *Source) Role() string {
	if r := s.role.Load(); r != nil {
		return *r
	}
	return ""
}

// Probe asks the host's /healthz whether it is a Shoal node, and of which role: "origin", "edge", or "" for a plain web server. It takes three
// seconds at most. The answer is a claim; it decides under which name bytes are counted, not whether they are trusted.
func (s *Source) Probe(ctx context.Context) (role string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	u := &url.URL{Scheme: s.base.Scheme, Host: s.base.Host, User: s.base.User, Path: "/healthz"}
	req := (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"User-Agent": {s.agent}}}).WithContext(ctx)
	client := *s.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // another host's role is not this one's
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("asking %s for its role: %w", s.base.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	if err != nil {
		return "", fmt.Errorf("asking %s for its role: %w", s.base.Host, err)
	}
	var health struct {
		Shoal struct {
			Role string `json:"role"`
		} `json:"shoal"`
	}
	if resp.StatusCode == http.StatusOK && json.Unmarshal(body, &health) == nil {
		if r := health.Shoal.Role; r == "origin" || r == "edge" {
			role = r
		}
	}
	s.role.Store(&role)
	return role, nil
}
