package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"shoal/internal/daemon"
	"shoal/internal/deliver"
	"shoal/swarm/dht"
)

func statusCommand() *command {
	return &command{
		name:     "status",
		args:     "[URL]",
		usage:    "show how a running node is doing",
		long:     "Without a URL it asks the node of this machine, or a get or update that fetches, through the socket in its state directory.",
		examples: []string{"shoal status", "shoal status http://origin.example:7070 --json"},
		options:  concat([]option{pidOption()}, stateOptions(), outputOptions()),
		maxArgs:  1,
		run: func(ctx context.Context, e *env, args []string) error {
			url := ""
			if len(args) > 0 {
				url = args[0]
			}
			return e.status(ctx, url)
		},
	}
}

const statusPath = "/api/v1/status"

func (e *env) status(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := http.DefaultClient
	if url == "" {
		var err error
		if client, url, err = e.controlClient(); err != nil {
			return err
		}
	} else if err := checkURL("http", "https")(url); err != nil {
		return usagef("such as http://origin.example:7070", "%s", err)
	}
	st, err := askStatusOf(ctx, client, url)
	if err != nil {
		return err
	}
	e.report.Result("status", st, func(w io.Writer) { writeStatus(w, st) })
	return nil
}

func writeStatus(w io.Writer, st daemon.Status) {
	fmt.Fprintf(w, "%s on port %d, version %s, up %s\n", clean(st.Role), st.Port, clean(st.Version), formatSeconds(st.Uptime))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fetches, gives := byFetch(st.Contents)
	writeFetches(w, fetches)
	if len(gives) > 0 {
		fmt.Fprintln(t, "CONTENT\tSIZE\tPEERS\tSEEDS\tUP\tSENT TO PEERS\tOVER HTTP\tCOPIES\t")
		for _, c := range gives {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s/s\t%s\t%s\t%.2f\t%s\n", clean(c.Name), formatBytes(c.Bytes), c.Peers, c.Seeds,
				formatBytes(c.Up), formatBytes(c.SentPeer), formatBytes(c.SentHTTP), c.Copies, clean(c.Error))
		}
		t.Flush()
		for _, c := range gives {
			if len(c.Held) > 0 {
				fmt.Fprintf(w, "%s: %.0f%% of the uplink's best while machines lacked something; held by %s\n", clean(c.Name), 100*c.Efficiency, formatHeld(c.Held, givingWords))
			}
		}
	}
	if st.Edge != nil {
		x := st.Edge
		fmt.Fprintf(w, "edge: %s kept, %d on their way, %s of %s; %s, %s saved at the origin. shoal edge ls lists what is here\n",
			plural(x.Kept, "content"), x.Fetching, formatBytes(x.Used), formatBytes(x.Quota), given(&x.Requests), formatBytes(x.Requests.Saved))
		fmt.Fprint(w, noRoom(x.NoRoom))
	}
	if st.DHT.Mode != "" {
		fmt.Fprintf(w, "%s%s\n", clean(st.DHT.String()), clean(dhtNumbers(st.DHT.Stats)))
	}
	if x := st.Tracker; x != nil {
		fmt.Fprintf(w, "tracker: %s, %s, %s; %.1f announces/s (%d over HTTP, %d over UDP so far)\n",
			plural(x.Swarms, "swarm"), plural(x.Seeds, "seed"), plural(x.Peers, "peer"), x.AnnouncesPerSec, x.AnnouncesHTTP, x.AnnouncesUDP)
		if x.Shared != "" {
			fmt.Fprintf(w, "peers are shared with other trackers: %s\n", map[string]string{"yes": "yes", "lost": "not at the moment"}[x.Shared])
		}
		if len(st.Contents) == 0 && len(st.Swarms) > 0 {
			fmt.Fprintln(t, "SWARM\tSEEDS\tLEECHERS\tDOWNLOADED")
			for _, s := range st.Swarms[:min(len(st.Swarms), 10)] {
				fmt.Fprintf(t, "%s\t%d\t%d\t%d\n", clean(s.Infohash), s.Seeds, s.Leechers, s.Downloaded)
			}
			t.Flush()
		}
	}
}

// byFetch tells what is being fetched from what is given.
func byFetch(all []daemon.ContentStatus) (fetches, gives []daemon.ContentStatus) {
	for _, c := range all {
		if c.Fetch != nil {
			fetches = append(fetches, c)
		} else {
			gives = append(gives, c)
		}
	}
	return fetches, gives
}

func writeFetches(w io.Writer, list []daemon.ContentStatus) {
	for _, c := range list {
		f := c.Fetch
		fmt.Fprintf(w, "fetching %s: %s of %s, %s/s from %s (%s), giving %s/s\n", clean(c.Name), formatBytes(f.Have), formatBytes(f.Wanted), formatBytes(f.Down),
			plural(c.Peers, "peer"), plural(c.Seeds, "seed"), formatBytes(c.Up))
		if len(c.Held) > 0 {
			fmt.Fprintf(w, "  %.0f%% of the rate of its best second; held by %s\n", 100*c.Efficiency, formatHeld(c.Held, fetchingWords))
		}
	}
}

// givingWords say what held a seed back, fetchingWords what a fetch.
var givingWords = map[string]string{"link": "the link itself", "limit": "its limit", "budget": "the budget", "peers": "peers that take slowly", "unasked": "nobody asking"}

var fetchingWords = map[string]string{"link": "the link itself", "limit": "its limit", "disk": "the disk", "lan": "waiting for machines of the site", "peers": "waiting for other machines",
	"edges": "waiting for edges", "origin": "waiting for the origin", "choked": "those who have it not giving it", "pieces": "nobody having what is missing", "nobody": "nobody being connected"}

// formatHeld lists what held a transfer back, what did longest first.
func formatHeld(held map[string]float64, words map[string]string) string {
	names := slices.SortedFunc(maps.Keys(held), func(a, b string) int { return cmp.Or(cmp.Compare(held[b], held[a]), cmp.Compare(a, b)) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %s", clean(cmp.Or(words[name], name)), formatSeconds(held[name]))
	}
	return strings.Join(names, ", ")
}

// dhtNumbers is the rest of the line about the DHT.
func dhtNumbers(st *dht.Stats) string {
	if st == nil {
		return ""
	}
	var b strings.Builder
	for _, n := range []struct {
		name string
		net  *dht.NetStats
	}{{"IPv4", st.IPv4}, {"IPv6", st.IPv6}} {
		if n.net != nil {
			fmt.Fprintf(&b, "; %d nodes over %s", n.net.Good, n.name)
		}
	}
	if st.ReadOnly {
		b.WriteString("; it only asks: others do not reach it")
	}
	fmt.Fprintf(&b, "; %d queries answered, %d peers of %d torrents kept for others", st.Queries-st.Dropped, st.Peers, st.Hashes)
	return b.String()
}

// askStatus asks the node at a URL how it is doing.
func askStatus(ctx context.Context, url string) (daemon.Status, error) {
	return askStatusOf(ctx, http.DefaultClient, url)
}

func askStatusOf(ctx context.Context, client *http.Client, url string) (st daemon.Status, err error) {
	resp, err := askNode(ctx, client, http.MethodGet, strings.TrimSuffix(strings.TrimSuffix(url, "/"), statusPath)+statusPath, nil)
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return st, &deliver.Error{Kind: deliver.ErrNoSource, Message: err.Error()}
	}
	if err := json.Unmarshal(body, &st); resp.StatusCode != http.StatusOK || err != nil {
		return st, &deliver.Error{Kind: deliver.ErrNoSource, Message: fmt.Sprintf("%s answers %s, which is not a shoal node's status", url, resp.Status)}
	}
	return st, nil
}

// askNode sends a request to a node. The answer's body is the caller's to close.
func askNode(ctx context.Context, client *http.Client, method, at string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return nil, usagef("", "%s", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		if of := new(url.Error); strings.HasPrefix(at, controlURL) && errors.As(err, &of) {
			err = of.Err // its URL is none that anybody knows
		}
		return nil, &deliver.Error{Kind: deliver.ErrNoSource, Message: err.Error(), Hint: "does the node run?"}
	}
	return resp, nil
}

// hostOf is the HOST:PORT of a URL that we made ourselves.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}
