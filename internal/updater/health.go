package updater

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// HealthError is a version that was not found well in time.
type HealthError struct {
	After time.Duration
	Err   error // of the last check that said no; nil: it came and went
}

func (e *HealthError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("not healthy for long enough within %s", e.After)
	}
	return fmt.Sprintf("not healthy within %s: %v", e.After, e.Err)
}

func (e *HealthError) Unwrap() error { return e.Err }

// How health is found out: a check that says yes once may have asked too early, so it must say so some times without a no between.
const (
	healthStreak = 3
	healthLimit  = 10 * time.Second // of one check
)

// health checks until a version is found well, or the time is over.
func (u *Updater) health(ctx context.Context, version, previous string, back bool) error {
	if u.cfg.Health == "" {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, u.cfg.HealthTimeout)
	defer cancel()
	tick := time.NewTicker(u.cfg.HealthEvery)
	defer tick.Stop()
	streak, last := 0, error(nil)
	for {
		err := u.checkHealth(limited, version, previous, back)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if limited.Err() == nil {
			if last = err; err == nil {
				streak++
			} else {
				streak = 0
			}
			if streak == healthStreak {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &HealthError{u.cfg.HealthTimeout, last}
		}
	}
}

// checkHealth asks once.
func (u *Updater) checkHealth(ctx context.Context, version, previous string, back bool) error {
	if !strings.HasPrefix(u.cfg.Health, "http://") && !strings.HasPrefix(u.cfg.Health, "https://") {
		h := hook{name: "health", command: u.cfg.Health, limit: healthLimit, env: u.hookEnv("health", version, previous, back), log: u.cfg.Log}
		return u.runMarked(ctx, &h)
	}
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.cfg.Health, nil)
	if err != nil {
		return err
	}
	// It was only just started: without a proxy, and each time on a new connection.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return errors.New(u.cfg.Health + " answers " + resp.Status)
	}
	return nil
}
