package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"shoal/edgecache"
	"shoal/internal/daemon"
	"shoal/internal/deliver"
	"shoal/swarm"
)

func edgeCommand() *command {
	control := concat(stateOptions(), outputOptions())
	return &command{
		name:  "edge",
		args:  "ORIGIN…",
		usage: "keep copies of origins' releases near their users, within a quota",
		long: "An ORIGIN is the URL of a repository, or of one content. What it has is verified as any client does, and given on: to machines\n" +
			"that run shoal get with this edge's URL for the origin's, to BitTorrent clients, and over HTTP to everybody at\n" +
			"/APP:CHANNEL/PATH and /APP@VERSION/PATH. Without --app and --pull-through all apps are followed. Edges with the same\n" +
			"--cluster-key that --join each other share out what they keep.",
		examples: []string{
			"shoal edge https://origin.example --quota 200GB --root root.json",
			"shoal edge https://origin.example --app 'game*' --pull-through --fill '02:00-06:00=50M'",
			"shoal edge https://origin.example --cluster-key KEY --join 10.0.0.5:7071 --zone west",
			"shoal edge pin myapp:stable --for 720h",
		},
		options: concat([]option{
			{name: "quota", kind: kindSize, value: "SIZE", usage: "how much of the disk to take at most, parts and metadata included", def: "10G"},
			{name: "keep-free", kind: kindSize, value: "SIZE", usage: "how much of the disk to leave free in any case", def: "1G"},
			{name: "app", kind: kindList, value: "GLOB", usage: "follow the channels of these apps: fetch what they have before it is asked for; may be repeated"},
			{name: "pull-through", kind: kindBool, usage: "fetch whatever else the origins have when it is asked for"},
			{name: "fill", kind: kindRates, value: "RATES", usage: "fetch ahead only then, and so fast: 02:00-06:00=50M"},
			{name: "join", kind: kindList, value: "HOST:PORT", usage: "another edge of the cluster, by its gossip; may be repeated", check: checkListen},
			{name: "gossip", value: "HOST:PORT", usage: "where to speak with the other edges, TCP and UDP", def: ":7071", check: checkListen},
			{name: "cluster-key", value: "KEY", usage: "what the cluster's edges share, and encrypt what they say with: 12 characters at least", secret: true, check: checkClusterKey},
			{name: "replicas", kind: kindInt, value: "N", usage: "how many edges of the cluster keep each release", def: "2"},
			{name: "zone", value: "NAME", usage: "where this edge stands: replicas go to different zones"},
			{name: "name", value: "NAME", usage: "what this edge is called in the cluster (default: host name and port)"},
			{name: "public-url", value: "URL", usage: "where the cluster's other edges lead clients to this one, such as https://edge1.example:7070 (default: its address)", check: checkPublicURL},
		}, releaseOptions()[1:3], tlsOptions(), swarmOptions(":7070"), peerOptions(), dhtOptions(), stateOptions(), logOptions("info"), outputOptions()),
		minArgs: 1, maxArgs: anyArgs,
		run: func(ctx context.Context, e *env, args []string) error { return e.edge(ctx, args) },
		sub: []*command{
			{
				name: "ls", usage: "list what a running edge keeps", examples: []string{"shoal edge ls"}, options: control,
				run: func(ctx context.Context, e *env, _ []string) error { return e.edgeStatus(ctx, writeKept) },
			},
			{
				name: "ring", usage: "show the cluster that a running edge is of",
				long: "KEEPS is how many contents an edge is to keep, as this one sees it: a release is one, its archive and each patch to it as well. What is\n" +
					"pinned, hot or was asked for comes on top; shoal edge ls shows what there is.",
				examples: []string{"shoal edge ring"}, options: control,
				run: func(ctx context.Context, e *env, _ []string) error { return e.edgeStatus(ctx, writeRing) },
			},
			{
				name: "pin", args: "NAME", usage: "keep APP:CHANNEL, APP@VERSION or a content, whatever else is asked for", examples: []string{"shoal edge pin myapp:stable --for 720h"},
				options: concat([]option{{name: "for", kind: kindDuration, value: "TIME", usage: "only for so long; 0 is until it is taken out"}}, control),
				minArgs: 1, maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error {
					return e.edgePin(ctx, args[0], e.settings.Duration("for"))
				},
			},
			{
				name: "unpin", args: "NAME", usage: "take a pin out", examples: []string{"shoal edge unpin myapp:stable"}, options: control, minArgs: 1, maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error { return e.edgeUnpin(ctx, args[0]) },
			},
			{
				name: "drain", usage: "have the other edges take over what this one keeps, and leave the cluster", examples: []string{"shoal edge drain"}, options: control,
				run: func(ctx context.Context, e *env, _ []string) error { return e.drain(ctx) },
			},
		},
	}
}

func (e *env) edge(ctx context.Context, origins []string) error {
	var c edgecache.Config
	for _, text := range origins {
		if err := checkURL("http", "https")(text); err != nil {
			if near := nearest(text, edgeCommand().names()); near != "" {
				return usagef("did you mean shoal edge "+near+"?", "shoal edge has no command %q", text)
			}
			return usagef("an origin is a URL, such as https://origin.example", "%s", err)
		}
		u, err := url.Parse(text)
		if err != nil {
			return err
		}
		c.Origins = append(c.Origins, u)
	}
	state, err := e.stateDir()
	if err != nil {
		return err
	}
	s := e.settings
	if quota := s.Bytes("quota"); quota < edgecache.MinQuota {
		return usagef("give it more with --quota", "a quota of %s: an edge needs %s at least", formatBytes(quota), formatBytes(edgecache.MinQuota))
	}
	c.Quota, c.KeepFree, c.Apps, c.PullThrough = s.Bytes("quota"), s.Bytes("keep-free"), s.List("app"), s.Bool("pull-through")
	c.FirstUse, c.UserAgent = s.Bool("trust-on-first-use"), userAgent()
	if path := s.String("root"); path != "" {
		if c.Root, err = os.ReadFile(path); err != nil {
			return err
		}
	}
	if s.given("fill") {
		fill := s.Rates("fill")
		c.Fill = &fill
	}
	if len(s.List("join")) > 0 || s.String("cluster-key") != "" {
		if s.String("cluster-key") == "" {
			return usagef("give all edges the same --cluster-key, or SHOAL_CLUSTER_KEY", "--join needs --cluster-key: without one anybody could join")
		}
		c.Cluster = edgecache.Cluster{Name: s.String("name"), Zone: s.String("zone"), Gossip: s.String("gossip"), Join: s.List("join"), Key: s.String("cluster-key"), Replicas: int(s.Int("replicas"))}
	}
	c.Kept = func(k edgecache.Kept) {
		e.report.Event("kept", struct {
			Name     string    `json:"name"`
			Infohash string    `json:"infohash"`
			Path     string    `json:"path"`
			Bytes    int64     `json:"bytes"`
			Seconds  float64   `json:"seconds"`
			From     FromBytes `json:"from"`
			Wasted   int64     `json:"wasted_bytes"`
		}{k.Name, k.Infohash, k.Path, k.Bytes, seconds(k.Took), fromBytes(k.Stats), k.Stats.Wasted})
	}
	node, around, err := e.swarmConfig(swarm.RoleEdge, serverPeers)
	if err != nil {
		return err
	}
	node.UserAgent += deliver.EdgeServer
	var hosts []string
	for _, u := range c.Origins {
		hosts = append(hosts, u.Hostname())
	}
	config := daemon.ServeConfig{Listen: s.String("listen"), StateDir: state, PublicURL: strings.TrimSuffix(s.String("public-url"), "/"), Edge: &c, Limits: s.limits(), Swarm: node, DHT: e.dht(false, hosts...), Around: around,
		Version: readVersion().Version, Log: e.log}
	if err := e.setTLS(&config); err != nil {
		return err
	}
	server, err := daemon.NewServer(ctx, config)
	if err != nil {
		return stateHint(err, state)
	}
	return e.runServer(ctx, server, func(context.Context) error {
		e.explainPort(server)
		base := e.publicURL(server, config.TLSCert != "") + "/"
		e.report.Result("ready", struct {
			Port  int    `json:"port"`
			URL   string `json:"url"`
			Quota int64  `json:"quota_bytes"`
		}{server.Port(), base, c.Quota}, func(w io.Writer) {
			fmt.Fprintf(w, "edge at %s, %s of the disk at most\n", base, formatBytes(c.Quota))
		})
		return nil
	})
}

// edgeStatus asks the edge of this machine how it is doing, and prints a part of that.
func (e *env) edgeStatus(ctx context.Context, write func(io.Writer, *edgecache.Status)) error {
	client, url, err := e.controlClient()
	if err != nil {
		return err
	}
	st, err := askStatusOf(ctx, client, url)
	if err != nil {
		return err
	}
	if st.Edge == nil {
		return &deliver.Error{Kind: deliver.ErrNoSource, Message: "the node of this machine is no edge"}
	}
	e.report.Result("edge", st.Edge, func(w io.Writer) { write(w, st.Edge) })
	return nil
}

func writeKept(w io.Writer, st *edgecache.Status) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CONTENT\tWHAT\tPLATFORM\tSIZE\tHERE\tSTATE\tDEMAND\tPEERS\tWHY")
	for _, c := range st.Contents {
		var why []string
		if c.Pinned {
			why = append(why, "pinned")
		}
		if c.Owned {
			why = append(why, "followed")
		}
		if len(why) == 0 {
			why = append(why, "asked for")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%d\t%s\n", clean(c.Name), what(&c), clean(c.Platform), formatBytes(c.Bytes), formatBytes(c.Have), c.State, c.Heat, c.Peers, strings.Join(why, ", "))
	}
	t.Flush()
	fmt.Fprintf(w, "%s of %s; %s; %s were not asked of an origin\n", formatBytes(st.Used), formatBytes(st.Quota), given(&st.Requests), formatBytes(st.Requests.Saved))
	fmt.Fprint(w, noRoom(st.NoRoom))
	for _, o := range st.Origins {
		if o.Error != "" {
			fmt.Fprintf(w, "%s: %s\n", clean(o.URL), clean(o.Error))
		}
		if o.Fork != "" {
			fmt.Fprintf(w, "%s: others were shown another log: %s\n", clean(o.URL), clean(o.Fork))
		}
	}
}

// given is what an edge has served. The share that was here is of HTTP alone: of what peers have got it is not known what was here before they asked.
func given(r *edgecache.Requests) string {
	here := "nothing went over HTTP"
	if r.HitBytes+r.MissBytes > 0 {
		here = fmt.Sprintf("of the bytes over HTTP %.1f%% were here", 100*r.ByteRatio)
	}
	return fmt.Sprintf("%s, %s went to peers", here, formatBytes(r.PeerBytes))
}

// noRoom is a line about what an edge is to keep and cannot; empty: there is nothing of that.
func noRoom(l *edgecache.Lack) string {
	if l == nil {
		return ""
	}
	return fmt.Sprintf("no room within the quota and on the disk for %s\n", amount(l))
}

// amount says how much contents are.
func amount(l *edgecache.Lack) string {
	return fmt.Sprintf("%s, %s; the largest: %s", plural(l.Contents, "content"), formatBytes(l.Bytes), clean(strings.Join(l.Names, ", ")))
}

// what a content is of its release.
func what(c *edgecache.ContentStatus) string {
	switch c.Kind {
	case "", "T":
		return "files"
	case "F":
		return "archive"
	case "P":
		return "patch from " + clean(c.From)
	}
	return clean(c.Kind)
}

func writeRing(w io.Writer, st *edgecache.Status) {
	if st.Ring == nil {
		fmt.Fprintln(w, "this edge is alone")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "EDGE\tZONE\tADDRESS\tKEEPS\tNOTE")
	follows := ""
	for _, m := range st.Ring.Members {
		if m.Name == st.Ring.Self {
			follows = m.Follows
		}
	}
	for _, m := range st.Ring.Members {
		note := ""
		if m.Follows != follows {
			note = "follows other apps"
		}
		if m.Name == st.Ring.Self {
			note = "this one"
		}
		switch {
		case m.Name == st.Ring.Self && st.Ring.Drained:
			note += ", drained until it is started again"
		case m.Draining:
			note = strings.TrimPrefix(note+", drains", ", ")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", clean(m.Name), clean(m.Zone), clean(m.Addr), m.Owns, note)
	}
	t.Flush()
	if left := st.Ring.Left; left != nil {
		fmt.Fprintf(w, "not yet taken over: %s\n", amount(left))
	}
	if full := st.Ring.Full; full != nil {
		fmt.Fprintf(w, "of that, without room at an edge that is to take it: %s\n", amount(full))
	}
}

// edgePin pins a name, and says what that keeps.
func (e *env) edgePin(ctx context.Context, name string, d time.Duration) error {
	text, err := e.edgeChange(ctx, "pin", name, d)
	if err != nil {
		return err
	}
	var p edgecache.Pinned
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	e.report.Result("pin", p, func(w io.Writer) {
		until := "until it is taken out"
		if p.Until != nil {
			until = "until " + p.Until.Local().Format("2006-01-02 15:04")
		}
		fmt.Fprintf(w, "%s stays %s: %s, %s\n", name, until, clean(strings.Join(p.Contents, ", ")), formatBytes(p.Bytes))
	})
	return nil
}

// errNoRoom says that an edge's quota is too small for something.
var errNoRoom = errors.New("no room within the quota")

// edgeUnpin takes a pin out.
func (e *env) edgeUnpin(ctx context.Context, name string) error {
	if _, err := e.edgeChange(ctx, "unpin", name, 0); err != nil {
		return err
	}
	e.report.Result("unpin", map[string]string{"name": name}, func(w io.Writer) { fmt.Fprintf(w, "%s stays only as long as it is asked for\n", name) })
	return nil
}

// edgeChange has the edge of this machine do something, and returns what it answers.
func (e *env) edgeChange(ctx context.Context, what, name string, d time.Duration) (answer []byte, err error) {
	client, url, err := e.controlClient()
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"name": name, "seconds": d.Seconds()})
	if err != nil {
		return nil, err
	}
	resp, err := askNode(ctx, client, http.MethodPost, url+daemon.EdgePath+what, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, &deliver.Error{Kind: deliver.ErrNoSource, Message: "the node of this machine is no edge"}
	case resp.StatusCode == http.StatusInsufficientStorage:
		var x edgecache.TooLargeError
		if err := json.Unmarshal(answer, &x); err != nil {
			return nil, err
		}
		return nil, &deliver.Error{Kind: errNoRoom, Hint: "give the edge a larger --quota, or take another pin out: shoal edge ls shows them",
			Message: fmt.Sprintf("%s cannot be pinned: it takes %s, and of the quota of %s there are %s beside metadata and what is pinned", name, formatBytes(x.Need), formatBytes(x.Quota), formatBytes(x.Room))}
	case resp.StatusCode == http.StatusUnprocessableEntity:
		return nil, &deliver.Error{Kind: deliver.ErrNoSource, Message: fmt.Sprintf("%s: %s", name, bytes.TrimSpace(answer)), Hint: "shoal edge ls shows what there is"}
	case resp.StatusCode == http.StatusConflict:
		return nil, &deliver.Error{Kind: errAlone, Message: string(bytes.TrimSpace(answer)), Hint: "it can be stopped as it is: what it keeps its origin has too"}
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the edge answers %s: %s", resp.Status, bytes.TrimSpace(answer))
	}
	return answer, nil
}
