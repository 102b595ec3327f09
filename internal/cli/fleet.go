package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"shoal/internal/daemon"
	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/fleet"
	"shoal/internal/rollout"
	"shoal/internal/updater"
)

func fleetCommand() *command {
	which := []option{
		{name: "stale", kind: kindBool, usage: "only those that were not heard of for long"},
		{name: "failed", kind: kindBool, usage: "only those that had to go back, or could not switch"},
	}
	return &command{
		name:  "fleet",
		usage: "see and steer the machines that report to the origin",
		long: "All but enroll ask the origin of this machine, through the socket in its state directory.\n" +
			"Machines report with shoal update, once they are enrolled. Reports of others are shown, and nothing depends on them.",
		examples: []string{"shoal fleet token", "shoal fleet enroll https://origin.example --enroll-token TOKEN", "shoal fleet ls myapp --stale"},
		options:  concat(which, stateOptions(), outputOptions()),
		run:      func(ctx context.Context, e *env, _ []string) error { return e.fleetList(ctx, "", e.printFleet) },
		sub: []*command{
			{
				name: "token", usage: "make a token with which machines enroll until it is over", table: "fleet", examples: []string{"shoal fleet token --valid 2h"},
				options: concat([]option{{name: "valid", kind: kindDuration, value: "TIME", usage: "for so long", def: "24h"}}, stateOptions(), outputOptions()),
				run:     func(ctx context.Context, e *env, _ []string) error { return e.fleetToken(ctx) },
			},
			{
				name: "enroll", args: "URL", usage: "have this machine's reports to an origin count; shoal update reports there from then on", table: "fleet",
				examples: []string{"shoal fleet enroll https://origin.example --enroll-token TOKEN"},
				options: concat([]option{{name: "enroll-token", value: "TOKEN", usage: "what shoal fleet token has printed at the origin; best given as SHOAL_ENROLL_TOKEN", secret: true}},
					stateOptions(), outputOptions()),
				minArgs: 1, maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error { return e.fleetEnroll(ctx, args[0]) },
			},
			{
				name: "ls", args: "[APP]", usage: "list the machines: version, when they were last seen, what went wrong, site, bytes by source", table: "fleet",
				examples: []string{"shoal fleet ls myapp --failed"}, options: concat(which, stateOptions(), outputOptions()), maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error {
					return e.fleetList(ctx, optional(args), e.printFleet)
				},
			},
			{
				name: "show", args: "MACHINE", usage: "show all that is known of a machine: the beginning of its id will do", table: "fleet",
				examples: []string{"shoal fleet show 3f2a"}, options: concat(stateOptions(), outputOptions()), minArgs: 1, maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error { return e.fleetShow(ctx, args[0]) },
			},
			{
				name: "export", args: "[APP]", usage: "write the list as CSV, or with --json as JSON", table: "fleet",
				examples: []string{"shoal fleet export myapp > fleet.csv"}, options: concat(which, stateOptions(), outputOptions()), maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error {
					return e.fleetList(ctx, optional(args), e.exportFleet)
				},
			},
			{
				name: "retry", args: "APP [MACHINE…]", usage: "have machines try again the version that failed there: these, or all", table: "fleet",
				examples: []string{"shoal fleet retry myapp"}, options: concat(stateOptions(), outputOptions()), minArgs: 1, maxArgs: anyArgs,
				run: func(ctx context.Context, e *env, args []string) error { return e.fleetRetry(ctx, args[0], args[1:]) },
			},
			{
				name: "slots", usage: "list who has a slot, and may switch now", table: "fleet",
				examples: []string{"shoal fleet slots"}, options: concat(stateOptions(), outputOptions()),
				run: func(ctx context.Context, e *env, _ []string) error { return e.fleetSlots(ctx) },
			},
			{
				name: "free", args: "GROUP MACHINE", usage: "take the slot from a machine that will not give it back", table: "fleet",
				examples: []string{"shoal fleet free default 3f2a9c…"}, options: concat(stateOptions(), outputOptions()), minArgs: 2, maxArgs: 2,
				run: func(ctx context.Context, e *env, args []string) error { return e.fleetFree(ctx, args[0], args[1]) },
			},
		},
	}
}

func optional(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// askFleet asks the origin of this machine something about its fleet. The answer's body is the caller's to close.
func (e *env) askFleet(ctx context.Context, method, what string, body any) (io.ReadCloser, error) {
	client, base, err := e.controlClient()
	if err != nil {
		return nil, err
	}
	var b []byte
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	resp, err := askNode(ctx, client, method, base+daemon.FleetPath+what, b)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, &deliver.Error{Kind: deliver.ErrNoSource, Message: "the node of this machine has no fleet", Hint: "shoal serve with a repository has one"}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return nil, errors.Join(fmt.Errorf("the origin answers %s: %s", resp.Status, bytes.TrimSpace(text)), err)
}

// askFleetFor is askFleet with an answer that is one value.
func askFleetFor[T any](ctx context.Context, e *env, method, what string, body any) (v T, err error) {
	r, err := e.askFleet(ctx, method, what, body)
	if err != nil {
		return v, err
	}
	defer r.Close()
	return v, json.NewDecoder(r).Decode(&v)
}

func (e *env) fleetToken(ctx context.Context) error {
	t, err := askFleetFor[daemon.FleetToken](ctx, e, http.MethodPost, "token", map[string]float64{"seconds": e.settings.Duration("valid").Seconds()})
	if err != nil {
		return err
	}
	e.report.Result("token", t, func(w io.Writer) { fmt.Fprintln(w, t.Token) })
	e.report.Notice("until %s, on each machine: SHOAL_ENROLL_TOKEN=… shoal fleet enroll URL", t.Until.Local().Format(time.DateTime))
	return nil
}

// enrollment is the origin that a machine reports to: fleet.json in its state directory.
type enrollment struct {
	URL string `json:"url"`
}

func enrollmentFile(state string) string { return filepath.Join(state, "fleet.json") }

// enrollment reads where this machine is enrolled; nil: nowhere.
func (e *env) enrollment() (*enrollment, error) {
	path := enrollmentFile(e.settings.String("state-dir"))
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var in enrollment
	if err == nil {
		err = json.Unmarshal(b, &in)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &in, nil
}

func (e *env) fleetEnroll(ctx context.Context, origin string) error {
	if err := checkURL("http", "https")(origin); err != nil {
		return usagef("such as https://origin.example", "%s", err)
	}
	token := e.settings.String("enroll-token")
	if token == "" {
		return usagef("shoal fleet token prints one at the origin", "shoal fleet enroll needs --enroll-token, or SHOAL_ENROLL_TOKEN")
	}
	state, err := e.stateDir()
	if err != nil {
		return err
	}
	machine, err := updater.MachineID(state)
	if err != nil {
		return stateHint(err, state)
	}
	key, err := fleet.LoadKey(state)
	if err != nil {
		return stateHint(err, state)
	}
	if err := updater.Enroll(ctx, origin, token, machine, key); err != nil {
		if unreached := (*url.Error)(nil); errors.As(err, &unreached) && ctx.Err() == nil {
			return &deliver.Error{Kind: deliver.ErrNoSource, Message: err.Error(), Hint: "does the origin run, and is that its URL?"}
		}
		return err
	}
	b, err := json.Marshal(enrollment{origin})
	if err != nil {
		return err
	}
	if err := disk.WriteFile(enrollmentFile(state), append(b, '\n'), 0o644); err != nil {
		return err
	}
	e.report.Result("enrolled", struct {
		Machine string `json:"machine"`
		Key     string `json:"key"`
		URL     string `json:"url"`
	}{machine, key.ID(), origin}, func(w io.Writer) { fmt.Fprintf(w, "machine %s reports to %s\n", machine, clean(origin)) })
	return nil
}

func (e *env) fleetRetry(ctx context.Context, app string, names []string) error {
	v, err := askFleetFor[daemon.FleetRetry](ctx, e, http.MethodPost, "retry", map[string]any{"app": app, "names": names})
	if err != nil {
		return err
	}
	e.report.Result("retry", v, func(w io.Writer) { fmt.Fprintf(w, "%s will try again\n", plural(v.Machines, "machine")) })
	return nil
}

func (e *env) fleetSlots(ctx context.Context) error {
	list, err := askFleetFor[[]daemon.FleetGroup](ctx, e, http.MethodGet, "slots", nil)
	if err != nil {
		return err
	}
	for _, g := range list {
		e.report.Result("slots", g, func(w io.Writer) {
			for _, h := range g.Holders {
				fmt.Fprintf(w, "%s  %s  token %d, since %s, until %s\n", g.Group, clean(h.ID), h.Token, h.Since.Local().Format(time.DateTime), h.Until.Local().Format(time.DateTime))
			}
		})
	}
	if len(list) == 0 {
		e.report.Notice("no machine has a slot")
	}
	return nil
}

func (e *env) fleetFree(ctx context.Context, group, id string) error {
	had, err := e.hasSlot(ctx, group, id)
	if err != nil {
		return err
	}
	if _, err := askFleetFor[struct{}](ctx, e, http.MethodPost, "slots/release", map[string]string{"group": group, "id": id}); err != nil {
		return err
	}
	if !had { // as when it is done again, it is no error
		e.report.Notice("%s has no slot in %s: nothing was freed; shoal fleet slots lists who has", id, group)
	}
	e.report.Result("freed", struct {
		Group string `json:"group"`
		ID    string `json:"id"`
		Freed bool   `json:"freed"` // it had a slot
	}{group, id, had}, func(w io.Writer) {
		if had {
			fmt.Fprintf(w, "%s has no slot in %s any more\n", clean(id), clean(group))
		}
	})
	return nil
}

// hasSlot says whether a machine has a slot.
func (e *env) hasSlot(ctx context.Context, group, id string) (bool, error) {
	list, err := askFleetFor[[]daemon.FleetGroup](ctx, e, http.MethodGet, "slots", nil)
	return slices.ContainsFunc(list, func(g daemon.FleetGroup) bool {
		return g.Group == group && slices.ContainsFunc(g.Holders, func(h rollout.Holder) bool { return h.ID == id })
	}), err
}
