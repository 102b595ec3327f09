package rollout

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"shoal/internal/swarmtest"
)

func openBolt(t *testing.T, path string) Store {
	t.Helper()
	s, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSlots(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "state.db")
	config := SlotsConfig{PerGroup: 2, Now: func() time.Time { return now }}
	store := openBolt(t, path)
	s := NewSlots(store, config)
	token := func(group, id string, want uint64) {
		t.Helper()
		h, err := s.Acquire(t.Context(), group, id, nil)
		if want == 0 {
			if !errors.Is(err, ErrTaken) {
				t.Fatalf("%s of %s: %+v, %v; want all taken", id, group, h, err)
			}
			return
		}
		if err != nil || h.Token != want {
			t.Fatalf("%s of %s: %+v, %v; want token %d", id, group, h, err, want)
		}
	}
	token("a", "one", 1)
	token("a", "two", 2)
	token("a", "one", 1)
	token("a", "three", 0)
	token("b", "three", 3) // another group has slots of its own
	if err := s.Release(t.Context(), "a", "nobody"); err != nil {
		t.Fatal(err)
	}
	token("a", "three", 0)
	// The file outlives the process.
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	s = NewSlots(openBolt(t, path), config)
	token("a", "three", 0)
	if err := s.Release(t.Context(), "a", "one"); err != nil {
		t.Fatal(err)
	}
	token("a", "three", 4)
	// A lease that is renewed goes on; one that is not ends.
	now = now.Add(50 * time.Minute)
	token("a", "three", 4)
	now = now.Add(20 * time.Minute)
	token("a", "four", 5)
	token("a", "two", 0)
}

func TestHandler(t *testing.T) {
	s := NewSlots(openBolt(t, filepath.Join(t.TempDir(), "state.db")), SlotsConfig{PerGroup: 1})
	h := &Handler{s, slog.New(slog.DiscardHandler)}
	ask := func(method, path, header, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		if header != "" {
			r.Header.Set("fleet-lock-protocol", header)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	params := func(id, group string) string { return fmt.Sprintf(`{"client_params":{"id":%q,"group":%q}}`, id, group) }
	for _, tt := range []struct {
		what, method, path, header, body string
		status                           int
		token                            string
	}{
		{"a slot", "POST", AcquirePath, "true", params("a", "default"), 200, "1"},
		{"the same again", "POST", AcquirePath, "true", params("a", "default"), 200, "1"},
		{"another machine", "POST", AcquirePath, "true", params("b", "default"), 409, ""},
		{"given back", "POST", ReleasePath, "true", params("a", "default"), 200, ""},
		{"given back twice", "POST", ReleasePath, "true", params("a", "default"), 200, ""},
		{"then it is free", "POST", AcquirePath, "true", params("b", "default"), 200, "2"},
		{"without the header", "POST", AcquirePath, "", params("c", "default"), 400, ""},
		{"by a link", "GET", AcquirePath, "true", "", 405, ""},
		{"no JSON", "POST", AcquirePath, "true", "x", 400, ""},
		{"no id", "POST", AcquirePath, "true", params("", "default"), 400, ""},
		{"a strange group", "POST", AcquirePath, "true", params("c", "../x"), 400, ""},
		{"too much", "POST", AcquirePath, "true", params(strings.Repeat("c", 5000), "default"), 400, ""},
	} {
		w := ask(tt.method, tt.path, tt.header, tt.body)
		if w.Code != tt.status || w.Header().Get(TokenHeader) != tt.token {
			t.Errorf("%s: %d, token %q; want %d, %q", tt.what, w.Code, w.Header().Get(TokenHeader), tt.status, tt.token)
		}
		if w.Code != http.StatusOK && !bytes.Contains(w.Body.Bytes(), []byte(`"kind":`)) {
			t.Errorf("%s: %s", tt.what, w.Body)
		}
	}
}

// request and answer are an operation as porcupine has it.
type request struct {
	id      string
	release bool
}

type answer struct {
	granted bool
	token   uint64
	unknown bool // the origin was killed before it answered
}

// holders is the model's state: who has a slot, and with which token.
type model struct {
	holders string // "id=token," sorted
	last    uint64
}

func (m model) parse() map[string]uint64 {
	all := map[string]uint64{}
	for one := range strings.SplitSeq(m.holders, ",") {
		var token uint64
		if id, text, ok := strings.Cut(one, "="); ok {
			fmt.Sscan(text, &token)
			all[id] = token
		}
	}
	return all
}

func format(all map[string]uint64) string {
	var list []string
	for id, token := range all {
		list = append(list, fmt.Sprintf("%s=%d", id, token))
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

// step are the states in which an operation may leave the slots: two, if it is not known whether it took effect.
func step(slots int) func(state, input, output any) []any {
	return func(state, input, output any) []any {
		s, in, out := state.(model), input.(request), output.(answer)
		holders := s.parse()
		next := s
		token, has := holders[in.id]
		switch {
		case in.release:
			delete(holders, in.id)
			next.holders = format(holders)
		case has || len(holders) >= slots:
		default:
			next.last++
			token, has = next.last, true
			holders[in.id] = token
			next.holders = format(holders)
		}
		switch {
		case out.unknown:
			return []any{s, next}
		case in.release:
			return []any{next}
		case out.granted != has || has && out.token != token:
			return nil
		}
		return []any{next}
	}
}

// Machines ask and give back at random, and the origin dies and comes back again and again.
func TestSlotsAreLinearizable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	kills := 20
	if swarmtest.Required("long") {
		kills = 100
	}
	checkSlots(t, kills, func() life {
		store := openBolt(t, path)
		return life{[]Store{store}, func() { store.Close() }, func() { store.Close() }}
	})
}

// life is the time from one death to the next: of an origin, or of the database that several share.
type life struct {
	origins []Store
	kill    func() // in the midst of it
	end     func() // of it, killed or not
}

// checkSlots has machines ask and give back at random through as many lives. What they were told must be what one after the other could have been told: so there were never more holders than slots. Some
// machines die with their slots, which is nothing but that they do not give back what they have.
func checkSlots(t *testing.T, lives int, begin func() life) {
	t.Helper()
	const slots, machines, perLife = 2, 4, 4
	started := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	for range lives {
		l := begin()
		first := len(history)
		var g sync.WaitGroup
		for m := range machines {
			s := NewSlots(l.origins[m%len(l.origins)], SlotsConfig{PerGroup: slots})
			g.Go(func() {
				for range perLife {
					in := request{id: fmt.Sprint("machine ", m), release: rand.N(2) == 0}
					called := time.Since(started).Nanoseconds()
					var out answer
					var err error
					if in.release {
						err = s.Release(t.Context(), "default", in.id)
					} else {
						var h *Holder
						if h, err = s.Acquire(t.Context(), "default", in.id, nil); err == nil {
							out = answer{granted: true, token: h.Token}
						}
					}
					out.unknown = err != nil && !errors.Is(err, ErrTaken)
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: m, Input: in, Output: out, Call: called, Return: time.Since(started).Nanoseconds()})
					mu.Unlock()
					if out.unknown {
						return
					}
				}
			})
		}
		if rand.N(2) == 0 {
			time.Sleep(rand.N(5 * time.Millisecond))
			l.kill()
		}
		g.Wait()
		l.end()
		for i := range history[first:] { // what nobody was told has taken effect by the end of that life, or never does
			if o := &history[first+i]; o.Output.(answer).unknown {
				o.Return = time.Since(started).Nanoseconds()
			}
		}
	}
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{model{}} },
		Step: step(slots),
	}
	if result := porcupine.CheckOperationsTimeout(m.ToModel(), history, time.Minute); result == porcupine.Illegal {
		t.Fatalf("%d operations that nobody could have seen in turn: %+v", len(history), history)
	} else if result == porcupine.Unknown {
		t.Skip("the checker has found no answer in time")
	}
	unknown := 0
	for _, o := range history {
		if o.Output.(answer).unknown {
			unknown++
		}
	}
	t.Logf("%d operations in %d lives, %d of which nobody was told", len(history), lives, unknown)
}
