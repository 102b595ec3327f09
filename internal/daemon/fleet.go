package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"shoal/internal/disk"
	"shoal/internal/fleet"
	"shoal/internal/release"
	"shoal/internal/rollout"
)

// gatesEvery is how often it is looked whether a rollout goes on, or must be halted.
const gatesEvery = time.Second

// fleetService is what an origin does for the machines that it updates.
type fleetService struct {
	store    rollout.Store
	rollouts *rollout.Rollouts
	slots    *rollout.Slots
	reports  *rollout.Reports
	repo     *release.Repository // nil: there is none to steer
	log      *slog.Logger

	mu   sync.Mutex // held while refresh reads
	read lastRead
}

func newFleetService(ctx context.Context, cfg ServeConfig) (*fleetService, error) {
	var store rollout.Store
	var err error
	if cfg.FleetDB != "" {
		store, err = rollout.OpenPostgres(ctx, cfg.FleetDB)
	} else {
		store, err = rollout.OpenBolt(filepath.Join(cfg.StateDir, "state.db"))
	}
	if err != nil {
		return nil, err
	}
	f := &fleetService{store: store, rollouts: &rollout.Rollouts{}, repo: cfg.Repository, log: cfg.Log}
	f.slots = rollout.NewSlots(store, rollout.SlotsConfig{PerGroup: cfg.FleetSlots, Lease: cfg.FleetLease, Rollouts: f.rollouts})
	f.reports = rollout.NewReports(store, rollout.ReportsConfig{Log: cfg.Log})
	return f, nil
}

// serves says whether a path of the public port is the fleet's.
func (f *fleetService) serves(path string) bool {
	return path == rollout.AcquirePath || path == rollout.ReleasePath || path == fleet.ReportPath || path == fleet.EnrollPath
}

// ServeHTTP is what the public port does for the fleet.
func (f *fleetService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f.refresh(r.Context()); err != nil { // who asks, or tells how it went, may have read of a rollout that began a moment ago
		f.log.Debug("the repository cannot be read", "err", err) // its look each second tells aloud
	}
	switch r.URL.Path {
	case rollout.AcquirePath, rollout.ReleasePath:
		(&rollout.Handler{Slots: f.slots, Log: f.log}).ServeHTTP(w, r)
	default:
		(&rollout.Receiver{Reports: f.reports, Log: f.log}).ServeHTTP(w, r)
	}
}

// refresh reads how far the repository's rollouts are, if there is one, and something was published since it was read: who has just steered a rollout asks
// how it goes.
func (f *fleetService) refresh(ctx context.Context) error {
	if f.repo == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now, err := readNow(f.repo)
	if err != nil || f.read.is(now) {
		return err
	}
	list, err := f.repo.Rollouts(ctx)
	if err != nil {
		return err
	}
	f.rollouts.Set(list)
	for _, s := range list { // what is reported from now on counts: the first machines may be quicker than the next look at the gates
		if _, err := f.reports.Evidence(ctx, s); err != nil {
			return err
		}
	}
	f.read = now
	return nil
}

// gates steers the rollouts by what machines report, until ctx is done.
func (f *fleetService) gates(ctx context.Context) error {
	tick := time.NewTicker(gatesEvery)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := f.reports.Steer(ctx, f.rollouts.List(), func(app, channel string, change func(*release.Rollout)) error {
			_, err := f.repo.Update(ctx, func(tx *release.Tx) error {
				_, err := tx.Steer(app, channel, change)
				return err
			})
			if err == nil {
				err = f.refresh(ctx)
			}
			return err
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			told = ""
		case errors.Is(err, disk.ErrHeld): // somebody publishes; the next second will do
		case err.Error() != told:
			told = err.Error()
			f.log.Error("a rollout cannot be steered: only who has its online key can", "err", err)
		}
	}
}

// FleetPath is where the control socket answers questions about the fleet, below it:
//
//	POST token          {"seconds": N}: FleetToken
//	GET  machines       ?app=APP&name=BEGINNING…: FleetMachine, one a line
//	POST retry          {"app": APP, "names": […]}: FleetRetry
//	GET  slots          []FleetGroup
//	POST slots/release  {"group": GROUP, "id": ID}
//	GET  rollouts       []FleetRollout; ?app=APP&channel=CHANNEL: of this channel, also if its version is for all machines
const FleetPath = "/api/v1/fleet/"

// FleetToken is a token that machines enroll with.
type FleetToken struct {
	Token string    `json:"token"`
	Until time.Time `json:"until"`
}

// FleetMachine is what is known of a machine and an app.
type FleetMachine struct {
	*rollout.Record
	Stale bool `json:"stale"` // it has not been heard of for long
}

// FleetRetry is how many machines are asked to try again.
type FleetRetry struct {
	Machines int `json:"machines"`
}

// FleetGroup is who has the slots of a group.
type FleetGroup struct {
	Group   string           `json:"group"`
	Holders []rollout.Holder `json:"holders"`
}

// FleetRollout is how a rollout goes.
type FleetRollout struct {
	App      string           `json:"app"`
	Channel  string           `json:"channel"`
	Version  string           `json:"version"`
	Policy   *release.Policy  `json:"policy"`
	At       *release.Rollout `json:"at"`
	Wave     int              `json:"wave"` // the index of the one that is reached
	All      bool             `json:"all"`  // it is for all machines; Evidence is of all that are heard of
	Next     time.Time        `json:"next"` // the earliest time of the one after it; zero: it is the last, or comes when it is told to
	Evidence rollout.Evidence `json:"evidence"`
}

// control adds what the control socket does for the fleet.
func (f *fleetService) control(mux *http.ServeMux) {
	answer := func(pattern string, do func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := do(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			writeJSON(w, v)
		})
	}
	read := func(r *http.Request, v any) error {
		return json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20)).Decode(v)
	}
	answer("POST "+FleetPath+"token", func(r *http.Request) (any, error) {
		var x struct {
			Seconds float64 `json:"seconds"`
		}
		if err := read(r, &x); err != nil {
			return nil, err
		}
		token, until, err := f.reports.Token(r.Context(), time.Duration(x.Seconds*float64(time.Second)))
		return FleetToken{token, until}, err
	})
	answer("POST "+FleetPath+"retry", func(r *http.Request) (any, error) {
		var x struct {
			App   string   `json:"app"`
			Names []string `json:"names"`
		}
		if err := read(r, &x); err != nil {
			return nil, err
		}
		n, err := f.reports.Retry(r.Context(), x.App, x.Names)
		return FleetRetry{n}, err
	})
	answer("GET "+FleetPath+"slots", func(r *http.Request) (any, error) {
		all, err := f.slots.Holders(r.Context())
		list := []FleetGroup{}
		for group, holders := range all {
			list = append(list, FleetGroup{group, holders})
		}
		slices.SortFunc(list, func(a, b FleetGroup) int { return cmp.Compare(a.Group, b.Group) })
		return list, err
	})
	answer("POST "+FleetPath+"slots/release", func(r *http.Request) (any, error) {
		var x struct{ Group, ID string }
		if err := read(r, &x); err != nil {
			return nil, err
		}
		return struct{}{}, f.slots.Release(r.Context(), x.Group, x.ID)
	})
	answer("GET "+FleetPath+"rollouts", func(r *http.Request) (any, error) {
		if err := f.refresh(r.Context()); err != nil {
			return nil, err
		}
		if q := r.URL.Query(); q.Has("channel") {
			return f.standing(r.Context(), q.Get("app"), q.Get("channel"))
		}
		return f.progress(r.Context(), f.rollouts.List()...)
	})
	mux.HandleFunc("GET "+FleetPath+"machines", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		e := json.NewEncoder(w)
		q := r.URL.Query()
		err := f.reports.Each(r.Context(), q.Get("app"), q["name"], func(one *rollout.Record, now time.Time) error {
			return e.Encode(FleetMachine{one, one.Stale(now)})
		})
		if err != nil {
			f.log.Warn("the fleet cannot be listed", "err", err)
			panic(http.ErrAbortHandler) // so that nobody takes what came for all
		}
	})
}

// progress is how rollouts go.
func (f *fleetService) progress(ctx context.Context, steered ...*release.Steered) ([]FleetRollout, error) {
	list := []FleetRollout{}
	for _, s := range steered {
		e, err := f.reports.Progress(ctx, s)
		if err != nil {
			return nil, err
		}
		c := s.Channel
		one := FleetRollout{App: c.App, Channel: c.Channel, Version: c.Version, Policy: c.Rollout, At: s.At, Wave: c.Reached(s.At, time.Now()), Evidence: e}
		if c.Rollout.Every > 0 && one.Wave+1 < len(c.Rollout.Waves) {
			one.Next = c.Opens(one.Wave + 1)
		}
		list = append(list, one)
	}
	return list, nil
}

// standing is how the version of one channel goes.
func (f *fleetService) standing(ctx context.Context, app, channel string) ([]FleetRollout, error) {
	for _, s := range f.rollouts.List() {
		if s.Channel.App == app && s.Channel.Channel == channel {
			return f.progress(ctx, s)
		}
	}
	if f.repo == nil {
		return []FleetRollout{}, nil
	}
	s, err := f.repo.Standing(ctx, app, channel)
	if err != nil || s == nil {
		return []FleetRollout{}, err
	}
	e, err := f.reports.Standing(ctx, s.Channel)
	return []FleetRollout{{App: app, Channel: channel, Version: s.Channel.Version, Policy: s.Channel.Rollout, At: s.At, All: true, Evidence: e}}, err
}
