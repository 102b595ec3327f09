package updater

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Lock bounds how many machines switch at once. A machine has one slot, however often it asks.
type Lock interface {
	// Acquire takes a slot, or finds that this machine has one. The token is larger for each new holder ("": the lock has none), so that what hooks write to can
	// tell that a holder is not one any more. The error is an ErrNoSlot where others have all slots.
	// An ErrNotCounted is that the rollout has not come to this machine.
	Acquire(ctx context.Context, c Claim) (token string, err error)
	// Release gives the slot back, if this machine has one.
	Release(ctx context.Context) error
}

// ErrNoSlot is that as many machines switch as may. ErrNotCounted is that as many machines have come as may, or the rollout does not go on.
var (
	ErrNoSlot     = errors.New("no slot is free")
	ErrNotCounted = errors.New("not by this wave")
)

// Claim is what a slot is wanted for.
type Claim struct {
	App     string   `json:"app"`
	Channel string   `json:"channel"`
	Version string   `json:"version"`
	V2      string   `json:"v2"` // of the content; "": what is asked for is not a step of a rollout
	Groups  []string `json:"groups,omitempty"`
}

// FleetLock is a Lock over HTTP, as Zincati uses it: the FleetLock protocol, https://coreos.github.io/zincati/development/fleetlock/protocol/. A token is read from
// the header Shoal-Fencing-Token of the answer, where the server has such.
type FleetLock struct {
	URL   string // base: /v1/pre-reboot and /v1/steady-state lie below
	ID    string // of the machine
	Group string // "": default
}

// lockTime bounds a request.
const lockTime = 30 * time.Second

// Acquire implements Lock.
func (f *FleetLock) Acquire(ctx context.Context, c Claim) (token string, err error) {
	claim := &c
	if c.V2 == "" {
		claim = nil
	}
	h, err := f.ask(ctx, "v1/pre-reboot", claim)
	return h.Get("Shoal-Fencing-Token"), err
}

// Release implements Lock.
func (f *FleetLock) Release(ctx context.Context) error {
	_, err := f.ask(ctx, "v1/steady-state", nil)
	return err
}

func (f *FleetLock) ask(ctx context.Context, path string, c *Claim) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	type parameters struct {
		ID    string `json:"id"`
		Group string `json:"group"`
	}
	group := f.Group
	if group == "" {
		group = "default"
	}
	body, err := json.Marshal(struct {
		Parameters parameters `json:"client_params"`
		Claim      *Claim     `json:"shoal_rollout,omitempty"` // others leave unread what they do not know
	}{parameters{f.ID, group}, c})
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(f.URL)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("fleet-lock-protocol", "true")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp.Header, nil
	}
	var why struct{ Kind, Value string }
	if b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10)); err == nil {
		json.Unmarshal(b, &why) // the status says enough where it is something else
	}
	text := strings.TrimSpace(resp.Status + " " + why.Value)
	if resp.StatusCode == http.StatusConflict && why.Kind == "wave" {
		return nil, fmt.Errorf("%w: %s", ErrNotCounted, strings.TrimPrefix(why.Value, ErrNotCounted.Error()+": ")) // a shoal begins so, too
	}
	if resp.StatusCode >= 400 && resp.StatusCode < 500 {
		return nil, fmt.Errorf("%w: %s", ErrNoSlot, text)
	}
	return nil, fmt.Errorf("the fleet's lock answers %s", text)
}

// lock is who gives the slot that an update needs; nil: nobody.
func (u *Updater) lock(counted bool) Lock {
	if counted {
		return u.cfg.fleet()
	}
	return u.cfg.Lock
}

// acquire takes a slot of the fleet's lock before anything changes. counted is that the origin of the fleet must count this machine in.
func (u *Updater) acquire(ctx context.Context, o *Offer, counted bool) (Decision, error) {
	lock := u.lock(counted)
	if lock == nil {
		return Decision{Action: Install}, nil
	}
	j := u.journal
	if j.Slot == nil || j.Slot.Counted != counted { // noted first: a slot that was granted and forgotten would keep others waiting
		j.Slot = &slot{Counted: counted}
		if err := u.save(); err != nil {
			return Decision{}, err
		}
	}
	claim := Claim{App: o.App, Channel: o.Channel, Version: o.Version, Groups: u.cfg.Groups}
	if o.Rollout != nil {
		claim.V2 = o.V2
	}
	token, err := lock.Acquire(ctx, claim)
	if ctx.Err() != nil {
		return Decision{}, ctx.Err()
	}
	if err != nil {
		if errors.Is(err, ErrNoSlot) || errors.Is(err, ErrNotCounted) {
			j.Slot = nil
			if err := u.save(); err != nil {
				return Decision{}, err
			}
		}
		if errors.Is(err, ErrNotCounted) {
			return Decision{Action: Hold, Reason: HeldWave, Why: err.Error()}, nil
		}
		return Decision{Action: Hold, Reason: HeldLock, Why: err.Error()}, nil
	}
	j.Slot.Token = token
	return Decision{Action: Install}, nil
}

// release gives the slot back. Where that cannot be done it is tried again with the next check.
func (u *Updater) release(ctx context.Context) {
	j := u.journal
	if j.Slot == nil {
		return
	}
	if lock := u.lock(j.Slot.Counted); lock != nil {
		if err := lock.Release(ctx); err != nil {
			u.cfg.Log.Warn("the fleet's lock was not given back, and is with the next check", "err", err)
			return
		}
	}
	j.Slot = nil
	if err := u.save(); err != nil {
		u.cfg.Log.Warn("the fleet's lock was given back, which cannot be noted", "err", err)
	}
}
