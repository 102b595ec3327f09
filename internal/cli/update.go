package cli

import (
	"cmp"
	"context"

	"shoal/internal/deliver"
	"shoal/internal/schedule"
	"shoal/internal/updater"
	"shoal/piece"
	"shoal/swarm"
)

func updateCommand() *command {
	return &command{
		name:  "update",
		args:  "[SOURCE]",
		usage: "keep what a channel has installed on this machine, and go back if it is not well",
		long: "SOURCE is a channel, REPOSITORY/APP:CHANNEL; once known it may be left away. Versions lie in DIR/versions, and DIR/current\n" +
			"is a symlink to the one in place; with --in-place --to is one file, which is replaced.\n" +
			"It stays and follows the channel; with --once it ends when the machine is where it should be for now.\n" +
			"Hooks are run by the shell and know SHOAL_APP, SHOAL_VERSION, SHOAL_PREVIOUS, SHOAL_PATH, SHOAL_PREVIOUS_PATH, SHOAL_CURRENT,\n" +
			"SHOAL_STEP, SHOAL_ROLLBACK and SHOAL_FENCING_TOKEN. --post follows each --pre, also when the update is given up.",
		examples: []string{
			"shoal update https://origin.example/myapp:stable --to /opt/myapp --root root.json --once",
			"shoal update --to /opt/myapp --post 'systemctl restart myapp' --health http://127.0.0.1:8080/healthz",
			"shoal update --to /opt/myapp --window 'Sat,Sun 02:00-05:00' --max-defer 72h --print-unit > /etc/systemd/system/myapp-update.service",
		},
		options: concat([]option{
			{name: "once", kind: kindBool, usage: "do not stay: exit 0 if the machine is where it should be, 8 if it is held, 9 if its rollout is halted"},
			{name: "every", kind: kindDuration, value: "TIME", usage: "ask about so often; after failures sooner at first, then less often", def: "15m"},
			{name: "policy", value: "COMMAND", usage: "asked before anything is fetched: if it fails the update is held (battery, metered link)"},
			{name: "keep", kind: kindInt, value: "N", usage: "how many versions stay, the one in place included", def: "2"},
			fromOption(),
			{name: "dry-run", kind: kindBool, usage: "say what would be done, and do nothing"},
			{name: "print-unit", kind: kindBool, usage: "print a systemd service that does this, with --once also a timer"},
		}, installedOptions(), hookOptions(), groupOptions(), decisionOptions(), sourceOptions(), logOptions("info"), outputOptions()),
		maxArgs: 1,
		run:     func(ctx context.Context, e *env, args []string) error { return e.update(ctx, args) },
		sub: []*command{
			{
				name: "check", args: "[SOURCE]", usage: "say whether there is an update: exit 0 no, 8 it is held, 9 its rollout is halted, 10 yes; nothing is changed",
				examples: []string{"shoal update check --to /opt/myapp"}, table: "update",
				options: concat(installedOptions(), decisionOptions(), groupOptions(), sourceOptions(), logOptions("warn"), outputOptions()),
				maxArgs: 1,
				run:     func(ctx context.Context, e *env, args []string) error { return e.updateCheck(ctx, args) },
			},
			{
				name: "rollback", usage: "go back to the version before, and stay there until there is a newer one", table: "update",
				long: "Without hooks it runs those that the last shoal update was given. The version before is read first: if it is damaged it is repaired\n" +
					"from where it came, and if that cannot be, nothing is changed, and the exit code is 4.",
				examples: []string{"shoal update rollback --to /opt/myapp"},
				options: concat([]option{
					{name: "force", kind: kindBool, usage: "take the version before as it lies, without checking it"},
				}, installedOptions(), hookOptions(), groupOptions(), sourceOptions(), logOptions("info"), outputOptions()),
				run: func(ctx context.Context, e *env, _ []string) error { return e.updateRollback(ctx) },
			},
			{
				name: "history", usage: "show what is installed, and how it came to that", table: "update",
				examples: []string{"shoal update history --to /opt/myapp"},
				options:  concat(installedOptions(), stateOptions(), outputOptions()),
				run:      func(_ context.Context, e *env, _ []string) error { return e.updateHistory() },
			},
			{
				name: "pin", args: "[VERSION]", usage: "stay at a version, or at the one in place, whatever the channel says", table: "update",
				examples: []string{"shoal update pin --to /opt/myapp", "shoal update pin 1.4.2 --to /opt/myapp"},
				options:  concat(installedOptions(), stateOptions(), outputOptions()),
				maxArgs:  1,
				run:      func(_ context.Context, e *env, args []string) error { return e.updatePin(args) },
			},
			{
				name: "unpin", usage: "follow the channel again", table: "update",
				examples: []string{"shoal update unpin --to /opt/myapp"},
				options:  concat(installedOptions(), stateOptions(), outputOptions()),
				run:      func(_ context.Context, e *env, _ []string) error { return e.updateUnpin() },
			},
		},
	}
}

// installedOptions say where something is installed.
func installedOptions() []option {
	return []option{
		{name: "to", value: "DIR", usage: "where it is installed", complete: "dir"},
		{name: "in-place", kind: kindBool, usage: "--to is the one file of the release, and is replaced; versions lie beside it in .NAME.shoal"},
	}
}

// hookOptions are for commands that switch.
func hookOptions() []option {
	return []option{
		{name: "pre", value: "COMMAND", usage: "run before the switch; if it fails there is none"},
		{name: "post", value: "COMMAND", usage: "run after the switch, such as a restart; if it fails the version is bad"},
		{name: "health", value: "COMMAND|URL", usage: "must succeed three times in a row, a second apart, or the version is bad"},
		{name: "health-timeout", kind: kindDuration, value: "TIME", usage: "how long that may take", def: "1m"},
		{name: "hook-timeout", kind: kindDuration, value: "TIME", usage: "after which a hook is killed, with all that it has started", def: "5m"},
		{name: "report", value: "URL", usage: "report to the origin of a fleet that this machine is not enrolled with: it shows such reports, and nothing depends on them", check: checkURL("http", "https")},
		{name: "report-every", kind: kindDuration, value: "TIME", usage: "report that nothing has changed about so often", def: "5m"},
		{name: "fleet-lock", value: "URL", usage: "ask a FleetLock server before the switch: so many machines at once as it has slots", check: checkURL("http", "https")},
	}
}

// groupOptions say which machines this one is like.
func groupOptions() []option {
	return []option{
		{name: "group", kind: kindList, value: "NAME", usage: "a group that this machine belongs to; the first is that of its lock; may be repeated"},
	}
}

// decisionOptions say when a machine may change.
func decisionOptions() []option {
	return []option{
		{name: "window", value: "WINDOWS", usage: "change only then, in local time: 'Sat,Sun 02:00-05:00'", check: checkWindows},
		{name: "max-defer", kind: kindDuration, value: "TIME", usage: "after so long an update waits for --window and --policy no more; 0 is never"},
	}
}

func checkWindows(text string) error {
	_, err := schedule.ParseWindows(text)
	return err
}

// sourceOptions are for commands that ask the source.
func sourceOptions() []option {
	return concat(releaseOptions(), fetchOptions(), swarmOptions(":0"), peerOptions(), dhtOptions(), waitOptions("1m"), stateOptions())
}

// installation is what they say about where something is installed.
func (e *env) installation() (updater.Config, error) {
	c := updater.Config{To: e.settings.String("to"), InPlace: e.settings.Bool("in-place"), Log: e.log, Reporter: updateReporter{e}, Notice: e.note}
	if c.To == "" {
		return c, usagef("such as --to /opt/myapp", "shoal update needs --to")
	}
	return c, nil
}

// note tells what an updater has to say besides its steps.
func (e *env) note(text string) { e.report.Notice("%s", text) }

// setHooks takes what hookOptions say into a configuration.
func (e *env) setHooks(c *updater.Config) (err error) {
	s := e.settings
	c.Hooks = updater.Hooks{Pre: s.String("pre"), Post: s.String("post"), Health: s.String("health"), HookTimeout: s.Duration("hook-timeout"), HealthTimeout: s.Duration("health-timeout")}
	c.Groups = s.List("group")
	if c.Machine, err = updater.MachineID(s.String("state-dir")); err != nil {
		return err
	}
	if u := s.String("fleet-lock"); u != "" {
		lock := &updater.FleetLock{URL: u, ID: c.Machine}
		if len(c.Groups) > 0 {
			lock.Group = c.Groups[0]
		}
		c.Lock = lock
	}
	return nil
}

// setSource finds out what to follow: the argument, or what was followed before.
func (e *env) setSource(c *updater.Config, args []string) error {
	known, err := updater.History(*c)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		if known.Source == "" {
			return usagef("such as shoal update https://origin.example/myapp:stable --to "+c.To, "nothing is installed at %s yet: name a SOURCE", c.To)
		}
		args = []string{known.Source}
	}
	src, err := deliver.Classify(args[0])
	if err != nil {
		return err
	}
	if src.Kind != deliver.KindRelease || src.Release.Channel == "" {
		return usagef("REPOSITORY/APP:CHANNEL, such as https://origin.example/myapp:stable; shoal update pin has a machine stay at a version", "%s is not a channel", args[0])
	}
	s := e.settings
	c.Name, c.App, c.Channel = args[0], src.Release.App, src.Release.Channel
	c.Platform = cmp.Or(s.String("platform"), known.Platform)
	c.MaxDefer = s.Duration("max-defer")
	if text := s.String("window"); text != "" {
		if c.Window, err = schedule.ParseWindows(text); err != nil {
			return err
		}
	}
	releases := e.releases(src, c.Platform, s.has("once") && !s.Bool("once") && !s.Bool("dry-run")) // it is none that checks
	if s.has("from") {
		releases.From = e.older()
	}
	c.Source = releases
	return nil
}

// releases is where updates for a platform come from. One that stays gives others what is installed.
func (e *env) releases(src deliver.Source, platform string, stays bool) *updater.Releases {
	s := e.settings
	p := fetchProgress{report: e.report, total: -1}
	config := e.releaseConfig()
	config.Platform = platform
	return &updater.Releases{
		Source: src, Config: config, Peers: s.List("peer"), Stall: s.Duration("stall-timeout"), Limit: s.Duration("deadline"),
		Trusted: e.noteTrust, Forked: e.forked, Log: e.log,
		Stay: stays && e.upload() != swarm.UploadOff,
		Start: func(ctx context.Context, private bool, hosts []string) (*updater.Peer, error) {
			p, err := e.startPeer(ctx, private, hosts, stays)
			if err != nil {
				return nil, err
			}
			return &updater.Peer{Node: p.Node, Items: p.Items(), Discovers: p.Discovers || p.Finds(), Stop: p.stop}, nil
		},
		Metadata: func(t *piece.Torrent) {
			p = fetchProgress{report: e.report, name: t.Name, total: t.Length}
			e.report.Start(p.name, p.total)
		},
		Reading:  e.reading,
		Planned:  func(plan *deliver.Plan) { e.planned(&p, plan) },
		Progress: func(s swarm.Stats) { p.update(s) },
	}
}

func (e *env) update(ctx context.Context, args []string) error {
	c, err := e.installation()
	if err != nil {
		return err
	}
	if e.settings.Bool("print-unit") {
		return e.printUnit(c, args)
	}
	if err := e.setSource(&c, args); err != nil {
		return err
	}
	if err := e.setHooks(&c); err != nil {
		return err
	}
	defer e.reloading(ctx)()
	c.Policy, c.Keep, c.Every = e.settings.String("policy"), int(e.settings.Int("keep")), e.settings.Duration("every")
	if e.settings.Bool("dry-run") {
		return e.updateDryRun(ctx, c)
	}
	f := updater.FleetConfig{Site: e.settings.String("site"), Platform: c.Platform}
	if e.settings.Bool("once") { // the next report comes with the next run, and when that is is not known here
		f.Promise = e.settings.Duration("every")
	}
	return e.reporting(ctx, &c, f, func(ctx context.Context) error {
		u, err := updater.New(c)
		if err != nil {
			return err
		}
		if !e.settings.Bool("once") {
			return u.Run(ctx)
		}
		return u.Once(ctx)
	})
}

// updateDryRun says what update --once would do, and ends as it would.
func (e *env) updateDryRun(ctx context.Context, c updater.Config) error {
	found, err := updater.Check(ctx, c)
	if err != nil {
		return err
	}
	e.printChecked(found)
	if found.Decision.Action == updater.Hold {
		return heldAnswer(found)
	}
	return nil
}

func (e *env) updateCheck(ctx context.Context, args []string) error {
	c, err := e.installation()
	if err != nil {
		return err
	}
	if err := e.setSource(&c, args); err != nil {
		return err
	}
	c.Groups = e.settings.List("group")
	if c.Machine, err = updater.MachineID(e.settings.String("state-dir")); err != nil {
		return err
	}
	found, err := updater.Check(ctx, c)
	if err != nil {
		return err
	}
	e.printChecked(found)
	switch found.Decision.Action {
	case updater.Hold:
		return heldAnswer(found)
	case updater.Install:
		return answer(exitAvailable)
	}
	return nil
}

func heldAnswer(c *updater.Checked) answer {
	if c.Decision.Reason == updater.HeldHalted {
		return exitHalted
	}
	return exitHeld
}

func (e *env) updateRollback(ctx context.Context) error {
	c, err := e.installation()
	if err != nil {
		return err
	}
	if err := e.setHooks(&c); err != nil {
		return err
	}
	known, err := updater.History(c)
	if err != nil {
		return err
	}
	if known.Source != "" { // it has the description, and what may have to be fetched
		src, err := deliver.Classify(known.Source)
		if err != nil {
			return err
		}
		c.Source = e.releases(src, cmp.Or(e.settings.String("platform"), known.Platform), false)
	}
	return e.reporting(ctx, &c, updater.FleetConfig{}, func(ctx context.Context) error {
		u, err := updater.New(c)
		if err != nil {
			return err
		}
		return u.Rollback(ctx, e.settings.Bool("force"))
	})
}

func (e *env) updatePin(args []string) error {
	c, err := e.installation()
	if err != nil {
		return err
	}
	u, err := updater.New(c)
	if err != nil {
		return err
	}
	version := ""
	if len(args) > 0 {
		version = args[0]
	}
	if version, err = u.Pin(version); err != nil {
		return err
	}
	e.printPinned(version)
	if running := u.Running(); version != running {
		e.report.Notice("%s runs here: the next update brings %s, if it is published", cmp.Or(running, "nothing"), version)
	}
	return nil
}

func (e *env) updateUnpin() error {
	c, err := e.installation()
	if err != nil {
		return err
	}
	u, err := updater.New(c)
	if err == nil {
		err = u.Unpin()
	}
	if err != nil {
		return err
	}
	e.printPinned("")
	return nil
}
