package webfetch

import (
	"net/http"
	"strings"
	"sync"
)

const (
	maxValidators = 4096 // files whose validator is remembered; a tree may have more, and those are noticed by their hashes alone
	maxTag        = 256  // bytes
)

// validator is what a server said of a file's state (RFC 9110, 8.8).
type validator struct{ etag, modified string }

func validatorOf(h http.Header) validator {
	v := validator{h.Get("ETag"), h.Get("Last-Modified")}
	if len(v.etag) > maxTag || len(v.modified) > maxTag {
		return validator{}
	}
	return v
}

// strong is an ETag that promises equal bytes; only such a one may stand in If-Range.
func (v validator) strong() bool { return len(v.etag) >= 2 && v.etag[0] == '"' }

// same says whether now can be the state that v was. What one of them does not tell cannot differ.
func (v validator) same(now validator) bool {
	if v.etag != "" && now.etag != "" {
		// A server that compresses for others may call the same tag weak (nginx does).
		return strings.TrimPrefix(v.etag, "W/") == strings.TrimPrefix(now.etag, "W/")
	}
	return v.modified == "" || now.modified == "" || v.modified == now.modified
}

// validators remembers the first one of each file.
type validators struct {
	mu sync.Mutex
	of map[int]validator
}

func (m *validators) get(file int) validator {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of[file]
}

// see compares with what is remembered, and remembers what is new. After a change nothing is remembered, so that the next try begins afresh.
func (m *validators) see(file int, now validator) (unchanged bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, known := m.of[file]
	if known && !old.same(now) {
		delete(m.of, file)
		return false
	}
	if !known && now != (validator{}) && len(m.of) < maxValidators {
		if m.of == nil {
			m.of = map[int]validator{}
		}
		m.of[file] = now
	}
	return true
}
