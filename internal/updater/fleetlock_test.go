package updater

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

type fakeLock struct {
	full  bool
	calls []string
}

func (l *fakeLock) Acquire(context.Context, Claim) (string, error) {
	l.calls = append(l.calls, "acquire")
	if l.full {
		return "", ErrNoSlot
	}
	return "17", nil
}

func (l *fakeLock) Release(context.Context) error { l.calls = append(l.calls, "release"); return nil }

func TestLock(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	lock := &fakeLock{}
	m.cfg.Lock = lock
	m.cfg.Pre = `test "$SHOAL_FENCING_TOKEN" = 17`
	m.install("2")
	if want := []string{"acquire", "release"}; !slices.Equal(lock.calls, want) {
		t.Errorf("%v, want %v", lock.calls, want)
	}
	// A process that dies with the slot gives it back when it starts again.
	m.shelf.offer.Version = "3"
	lock.calls = nil
	for n := 0; ; n++ {
		at, err := m.stopAt(n)
		if at == nil {
			t.Fatalf("no stop: %v", err)
		}
		if slices.Contains(lock.calls, "acquire") {
			break
		}
	}
	if err := m.once(); err != nil {
		t.Fatal(err)
	}
	m.has("3")
	if last := lock.calls[len(lock.calls)-1]; last != "release" || m.journal().Slot != nil {
		t.Errorf("%v: the slot is kept", lock.calls)
	}
}

func TestFleetLock(t *testing.T) {
	t.Parallel()
	holder := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			P struct{ ID, Group string } `json:"client_params"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("fleet-lock-protocol") != "true" || r.Method != http.MethodPost || body.P.Group != "default" {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		switch {
		case r.URL.Path == "/base/v1/steady-state":
			if holder == body.P.ID {
				holder = ""
			}
		case r.URL.Path == "/base/v1/pre-reboot" && (holder == "" || holder == body.P.ID):
			holder = body.P.ID
			w.Header().Set("Shoal-Fencing-Token", "5")
		default:
			w.WriteHeader(http.StatusConflict)
			json.NewEncoder(w).Encode(map[string]string{"kind": "all_slots_taken", "value": "a has it"})
		}
	}))
	t.Cleanup(server.Close)
	a, b := FleetLock{URL: server.URL + "/base", ID: "a"}, FleetLock{URL: server.URL + "/base/", ID: "b"}
	for range 2 {
		if token, err := a.Acquire(t.Context(), Claim{}); token != "5" || err != nil {
			t.Fatalf("%q, %v", token, err)
		}
	}
	if _, err := b.Acquire(t.Context(), Claim{}); !errors.Is(err, ErrNoSlot) || !strings.Contains(err.Error(), "a has it") {
		t.Errorf("the second: %v", err)
	}
	if err := errors.Join(b.Release(t.Context()), a.Release(t.Context()), a.Release(t.Context())); err != nil {
		t.Error(err)
	}
	if _, err := b.Acquire(t.Context(), Claim{}); err != nil {
		t.Error(err)
	}
}
