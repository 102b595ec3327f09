package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	"shoal/internal/daemon"
	"shoal/internal/units"
)

// rateOptions are the limits of rates, which every node has.
func rateOptions() []option {
	return []option{
		{name: "limit-up", kind: kindRates, value: "RATES", usage: "upload at most so much to machines elsewhere: 500K, 20Mbit, or by the hour 08:00-18:00=5M,else=50M; 0 is no limit"},
		{name: "limit-down", kind: kindRates, value: "RATES", usage: "download at most so much from machines elsewhere; 0 is no limit"},
		{name: "limit-lan", kind: kindRates, value: "RATES", usage: "the same, each way, for machines on attached networks and of the same site; 0 is no limit"},
	}
}

// minRateOption says from when on others than peers help.
func minRateOption(def string) option {
	return option{name: "min-rate", kind: kindRate, value: "RATE", usage: "when peers deliver less together (or, if that is less, than half of --limit-down), web seeds and the origin help; 0 is never", def: def}
}

// maxPeersOption bounds connections.
func maxPeersOption(def string) option {
	return option{name: "max-peers", kind: kindInt, value: "N", usage: "connections for one content at most; 0 is what suits the command", def: def, check: checkPeers}
}

func checkPeers(text string) error {
	_, err := daemon.ParsePeers(text)
	return err
}

// budgetOption bounds what an origin gives.
func budgetOption() option {
	return option{name: "origin-budget", kind: kindNumber, value: "COPIES", usage: "give swarms at most so many copies of each content a day, such as 1.1, while they get on without more; 0 is no bound"}
}

func limitCommand() *command {
	options := concat(rateOptions(), []option{minRateOption(""), maxPeersOption(""), budgetOption()})
	for i := range options {
		options[i].invocation = true // what a file says is for the node, which reads it itself
	}
	return &command{
		name:  "limit",
		usage: "show the limits of this machine's running node, or change them until it ends",
		long: "It asks the node, or a get or update that fetches, through the socket in its state directory. What is given as a flag is changed at once, for what is\n" +
			"under way too (with fewer --max-peers connections end, those of least use first); the rest stays. What runs may go by fewer limits than these:\n" +
			"it refuses the others. To change limits for good, change the file that the node was given with --config, and send it SIGHUP: it reads the file\n" +
			"again and applies what is different.",
		examples: []string{"shoal limit", "shoal limit --limit-up 5M", "shoal limit --limit-up '08:00-18:00=5M,else=50M' --origin-budget 1.2"},
		options:  concat(options, []option{pidOption()}, stateOptions(), outputOptions()),
		run:      func(ctx context.Context, e *env, _ []string) error { return e.limit(ctx) },
	}
}

// limitsOf are the limits that a command's settings set.
func (s *settings) limits() daemon.Limits {
	var l daemon.Limits
	for _, name := range daemon.LimitNames() {
		if s.has(name) {
			if err := l.Set(name, s.get(name).written()); err != nil {
				panic(err) // it has passed the option's own reading
			}
		}
	}
	return l
}

func (e *env) limit(ctx context.Context) error {
	client, url, err := e.controlClient()
	if err != nil {
		return err
	}
	changes := make(map[string]string)
	for _, name := range daemon.LimitNames() {
		if e.settings.has(name) && e.settings.get(name).origin == "flag" {
			changes[name] = e.settings.get(name).written()
		}
	}
	method, body := http.MethodGet, []byte(nil)
	if len(changes) > 0 {
		method = http.MethodPatch
		if body, err = json.Marshal(changes); err != nil {
			return err
		}
	}
	resp, err := askNode(ctx, client, method, url+daemon.LimitsPath, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	var l daemon.LimitStatus
	if resp.StatusCode == http.StatusBadRequest {
		return usagef("", "%s", bytes.TrimSpace(text))
	} else if err := json.Unmarshal(text, &l); resp.StatusCode != http.StatusOK || err != nil {
		return fmt.Errorf("the node answers %s: is it of another version?", resp.Status)
	}
	e.report.Result("limits", l, func(w io.Writer) { writeLimits(w, l) })
	return nil
}

func writeLimits(w io.Writer, l daemon.LimitStatus) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, one := range []struct {
		name, set string
		now       int64
	}{{"limit-up", l.Up, l.UpNow}, {"limit-down", l.Down, l.DownNow}, {"limit-lan", l.LAN, l.LANNow}} {
		switch {
		case one.set == "0":
			fmt.Fprintf(t, "%s\tnone\t\n", one.name)
		case one.now == 0:
			fmt.Fprintf(t, "%s\t%s\tnow none\n", one.name, clean(one.set))
		default:
			fmt.Fprintf(t, "%s\t%s\tnow %s/s\n", one.name, clean(one.set), formatBytes(one.now))
		}
	}
	if l.MinRate == 0 {
		fmt.Fprintf(t, "min-rate\tnone\t\n")
	} else {
		fmt.Fprintf(t, "min-rate\t%s\tof a fetch, from peers\n", units.Format(l.MinRate))
	}
	fmt.Fprintf(t, "max-peers\t%d\t\n", l.MaxPeers)
	if l.Budget == 0 {
		fmt.Fprintf(t, "origin-budget\tnone\t\n")
	} else {
		fmt.Fprintf(t, "origin-budget\t%g\tcopies of each content a day\n", l.Budget)
	}
	t.Flush()
}
