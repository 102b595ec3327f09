package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"shoal/internal/fleet"
)

// Receiver takes reports and enrollments over HTTP, at [fleet.ReportPath] and [fleet.EnrollPath].
type Receiver struct {
	Reports *Reports
	Log     *slog.Logger
}

// ServeHTTP implements http.Handler.
func (h *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "reports are posted", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, fleet.MaxMessage))
	if err != nil {
		http.Error(w, "this cannot be read", http.StatusBadRequest)
		return
	}
	take, purpose := h.report, fleet.ForReport
	if r.URL.Path == fleet.EnrollPath {
		take, purpose = h.enroll, fleet.ForEnrollment
	}
	key, err := fleet.Signer(r.Header, purpose, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	a, err := take(r.Context(), key, body)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		http.Error(w, refused.Error(), refused.status)
		return
	case err != nil:
		if r.Context().Err() == nil {
			h.Log.Error("a report of the fleet", "err", err)
		}
		http.Error(w, "this cannot be kept at the moment", http.StatusServiceUnavailable)
		return
	}
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // our own structs marshal
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(b, '\n'))
}

// refusal is an error of who asks.
type refusal struct {
	status int
	error
}

func (h *Receiver) report(ctx context.Context, key string, body []byte) (*fleet.Answer, error) {
	r, err := fleet.ParseReport(body)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err}
	}
	return h.Reports.Take(ctx, r, key, fleet.Digest(body))
}

func (h *Receiver) enroll(ctx context.Context, key string, body []byte) (*fleet.Answer, error) {
	e, err := fleet.ParseEnrollment(body)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err}
	}
	if key == "" {
		return nil, &refusal{http.StatusForbidden, fleet.ErrSignature}
	}
	if err := h.Reports.Enroll(ctx, key, e); errors.Is(err, ErrToken) {
		return nil, &refusal{http.StatusForbidden, err}
	} else if err != nil {
		return nil, err
	}
	return &fleet.Answer{Counted: true}, nil
}
