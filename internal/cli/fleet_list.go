package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"shoal/internal/daemon"
	"shoal/internal/deliver"
	"shoal/internal/rollout"
)

// fleetList has print print the machines that are asked for.
func (e *env) fleetList(ctx context.Context, app string, print func(next func() (*daemon.FleetMachine, error)) error) error {
	r, err := e.askFleet(ctx, http.MethodGet, "machines?"+url.Values{"app": {app}}.Encode(), nil)
	if err != nil {
		return err
	}
	defer r.Close()
	stale, failed := e.settings.Bool("stale"), e.settings.Bool("failed")
	d := json.NewDecoder(bufio.NewReader(r))
	return print(func() (*daemon.FleetMachine, error) {
		for {
			var m daemon.FleetMachine
			if err := d.Decode(&m); err != nil {
				return nil, err
			}
			if (!stale || m.Stale) && (!failed || m.Outcome == rollout.Bad) {
				return &m, nil
			}
		}
	})
}

// eachMachine calls f with all.
func eachMachine(next func() (*daemon.FleetMachine, error), f func(*daemon.FleetMachine)) error {
	for {
		m, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f(m)
	}
}

// printFleet prints machines for people, or as JSON.
func (e *env) printFleet(next func() (*daemon.FleetMachine, error)) error {
	if e.report.json {
		return eachMachine(next, func(m *daemon.FleetMachine) { e.report.Event("machine", m) })
	}
	var table bytes.Buffer
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MACHINE\tAPP\tVERSION\tSTATE\tSEEN\tSITE\tREUSE\tLAN\tPEERS\tEDGES\tORIGIN\t")
	n := 0
	err := eachMachine(next, func(m *daemon.FleetMachine) {
		n++
		from := m.Total
		fmt.Fprintf(t, "%s\t%s:%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Machine[:min(12, len(m.Machine))], m.App, m.Channel, clean(m.Running), clean(stateOf(m)), ago(m.Seen), clean(m.Site),
			formatBytes(from.Reuse), formatBytes(from.LAN), formatBytes(from.Peers), formatBytes(from.Edges), formatBytes(from.Origin), clean(strings.Join(marks(m), "; ")))
	})
	if err != nil {
		return err
	}
	e.report.Result("", nil, func(w io.Writer) {
		t.Flush()
		w.Write(table.Bytes())
		fmt.Fprintln(w, plural(n, "machine"))
	})
	return nil
}

// stateOf is a machine's state in a word or two.
func stateOf(m *daemon.FleetMachine) string {
	text := m.State
	if m.Reason != "" {
		text += "/" + m.Reason
	}
	if m.Version != m.Running && m.Version != "" {
		text += " " + m.Version
	}
	return text
}

// marks are what one should know of a machine.
func marks(m *daemon.FleetMachine) (list []string) {
	if m.Key == "" {
		list = append(list, "anonymous")
	}
	if m.Cloned {
		list = append(list, "CLONED: two machines report as one")
	}
	if m.Stale {
		list = append(list, "stale")
	}
	if m.LastError != "" {
		list = append(list, lastError(m))
	}
	return list
}

// lastError is what went wrong last, and with which version, as far as that is known: it stays when another one is in place.
func lastError(m *daemon.FleetMachine) string {
	if m.ErrorOf == "" {
		return m.LastError
	}
	return m.ErrorOf + ": " + m.LastError
}

func ago(t time.Time) string {
	return formatSeconds(max(0, time.Since(t)).Round(time.Second).Seconds()) + " ago"
}

// exportFleet writes machines as CSV, or as JSON.
func (e *env) exportFleet(next func() (*daemon.FleetMachine, error)) error {
	if e.report.json {
		return e.printFleet(next)
	}
	var failed error
	e.report.Result("", nil, func(out io.Writer) {
		w := csv.NewWriter(out)
		w.Write([]string{"machine", "key", "app", "channel", "platform", "site", "groups", "running", "version", "state", "reason", "outcome", "seen", "stale", "cloned",
			"reuse_bytes", "lan_bytes", "peers_bytes", "edges_bytes", "origin_bytes", "last_error", "error_at"})
		failed = eachMachine(next, func(m *daemon.FleetMachine) {
			at := ""
			if m.ErrorAt != nil {
				at = m.ErrorAt.Format(time.RFC3339)
			}
			n := func(bytes int64) string { return strconv.FormatInt(bytes, 10) }
			w.Write([]string{m.Machine, m.Key, m.App, m.Channel, m.Platform, m.Site, strings.Join(m.Groups, " "), m.Running, m.Version, m.State, m.Reason, string(m.Outcome),
				m.Seen.Format(time.RFC3339), strconv.FormatBool(m.Stale), strconv.FormatBool(m.Cloned),
				n(m.Total.Reuse), n(m.Total.LAN), n(m.Total.Peers), n(m.Total.Edges), n(m.Total.Origin), m.LastError, at})
		})
		w.Flush()
		failed = errors.Join(failed, w.Error())
	})
	return failed
}

func (e *env) fleetShow(ctx context.Context, name string) error {
	r, err := e.askFleet(ctx, http.MethodGet, "machines?"+url.Values{"name": {name}}.Encode(), nil)
	if err != nil {
		return err
	}
	defer r.Close()
	d := json.NewDecoder(r)
	n := 0
	err = eachMachine(func() (*daemon.FleetMachine, error) {
		var m daemon.FleetMachine
		return &m, d.Decode(&m)
	}, func(m *daemon.FleetMachine) {
		n++
		e.report.Result("machine", m, func(w io.Writer) { writeMachine(w, m) })
	})
	if err == nil && n == 0 {
		err = &deliver.Error{Kind: deliver.ErrNoSource, Message: fmt.Sprintf("no machine begins with %q", name), Hint: "shoal fleet ls lists them"}
	}
	return err
}

func writeMachine(w io.Writer, m *daemon.FleetMachine) {
	fmt.Fprintf(w, "%s  %s:%s  %s\n", m.Machine, m.App, m.Channel, clean(m.Platform))
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-10s %s\n", name, clean(value))
		}
	}
	line("running", m.Running)
	line("state", stateOf(m))
	line("why", m.Why)
	line("outcome", strings.TrimSpace(string(m.Outcome)+" "+m.Tried))
	line("seen", fmt.Sprintf("%s, %s", m.Seen.Local().Format(time.DateTime), ago(m.Seen)))
	line("site", m.Site)
	line("groups", strings.Join(m.Groups, ", "))
	line("key", m.Key)
	line("fetched", fmt.Sprintf("%s reused, %s LAN, %s peers, %s edges, %s origin", formatBytes(m.Total.Reuse), formatBytes(m.Total.LAN), formatBytes(m.Total.Peers), formatBytes(m.Total.Edges), formatBytes(m.Total.Origin)))
	if m.ErrorAt != nil {
		line("last error", m.ErrorAt.Local().Format(time.DateTime)+" "+lastError(m))
	}
	line("notes", strings.Join(marks(m), "; "))
}
