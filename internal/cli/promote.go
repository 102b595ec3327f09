package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"shoal/internal/release"
)

func promoteCommand() *command {
	return &command{
		name:     "promote",
		args:     "APP@VERSION",
		usage:    "have a channel point to a version",
		examples: []string{"shoal promote myapp@1.4.0 --channel stable"},
		options: concat([]option{
			{name: "channel", value: "CHANNEL", usage: "the channel that has it from now on", check: checkChannel},
		}, rolloutWaitOptions(), keyOptions(), outputOptions()),
		minArgs: 1, maxArgs: 1,
		run: func(ctx context.Context, e *env, args []string) error { return e.promote(ctx, args[0]) },
	}
}

func (e *env) promote(ctx context.Context, arg string) error {
	channel := e.settings.String("channel")
	if channel == "" {
		return usagef("such as --channel stable", "promote needs --channel")
	}
	ref, err := versioned(arg)
	if err != nil {
		return err
	}
	r, err := e.repository(e.signing())
	if err != nil {
		return err
	}
	if err := e.promoteIn(ctx, r, ref, channel); err != nil {
		return err
	}
	return e.waitFor(ctx, &release.Channel{App: ref.App, Channel: channel, Version: ref.Version}, nil)
}

// promoteIn has a channel of a repository point to a version.
func (e *env) promoteIn(ctx context.Context, r *release.Repository, ref release.Ref, channel string) error {
	promoted, notice := false, ""
	done, err := r.Update(ctx, func(tx *release.Tx) (err error) {
		promoted, notice, err = startVersion(tx, ref, channel, nil)
		return err
	})
	if err != nil {
		return changeError(err)
	}
	e.unfinished(done)
	if notice != "" {
		e.report.Notice("%s", notice)
	}
	e.report.Result("promoted", struct {
		App      string   `json:"app"`
		Version  string   `json:"version"`
		Channel  string   `json:"channel"`
		Promoted bool     `json:"promoted"`
		Signed   []string `json:"signed"`
	}{ref.App, ref.Version, channel, promoted, orEmpty(done.Signed)}, func(w io.Writer) {
		if !promoted {
			fmt.Fprintf(w, "%s:%s has %s already\n", ref.App, channel, ref.Version)
			return
		}
		fmt.Fprintf(w, "%s:%s is %s now\n", ref.App, channel, ref.Version)
	})
	return nil
}

func withdrawCommand() *command {
	return &command{
		name:  "withdraw",
		args:  "APP@VERSION",
		usage: "take a version back: clients refuse it, origins and edges drop it",
		long: "Channels that have it go back to the newest version before it that had come to all machines, and was not halted or\n" +
			"withdrawn; if there is none, promote another version first.\n" +
			"Its entry in the transparency log stays, and its number cannot be used again.",
		examples: []string{"shoal withdraw myapp@1.4.0 --reason 'loses data, see #1234'"},
		options: concat([]option{
			{name: "reason", value: "TEXT", usage: "what clients are told; given later, it replaces the one before"},
		}, keyOptions(), outputOptions()),
		minArgs: 1, maxArgs: 1,
		run: func(ctx context.Context, e *env, args []string) error { return e.withdraw(ctx, args[0]) },
	}
}

func (e *env) withdraw(ctx context.Context, arg string) error {
	ref, err := versioned(arg)
	if err != nil {
		return err
	}
	reason := ""
	if e.settings.given("reason") {
		if reason = e.settings.String("reason"); reason == "" || len(reason) > 1<<10 {
			return usagef("", "a reason has 1 to 1024 bytes")
		}
	}
	r, err := e.repository(e.signing())
	if err != nil {
		return err
	}
	var channels, moved []*release.Channel
	done, err := r.Update(ctx, func(tx *release.Tx) (err error) {
		if channels, err = tx.Channels(ref.App); err != nil {
			return err
		}
		moved, err = tx.Withdraw(ref.App, ref.Version, reason)
		return err
	})
	if errors.Is(err, release.ErrInUse) {
		return withHint(err, fmt.Sprintf("give it a version that is good first: shoal promote %s@VERSION --channel CHANNEL", ref.App))
	}
	if err != nil {
		return changeError(err)
	}
	e.unfinished(done)
	for _, c := range channels {
		if p := c.Rollout; p != nil && p.Rollback && len(c.Previous) > 0 && c.Previous[0] == ref.Version { // a rollout's document stays as it is
			e.report.Notice("the rollout of %s:%s has no version to send machines back to any more: should %s be bad, withdraw it, too", c.App, c.Channel, c.Version)
		}
	}
	back := map[string]string{}
	for _, c := range moved {
		back[c.Channel] = c.Version
	}
	e.report.Result("withdrawn", struct {
		App      string            `json:"app"`
		Version  string            `json:"version"`
		Reason   string            `json:"reason"`
		Channels map[string]string `json:"channels"`
		Signed   []string          `json:"signed"`
	}{ref.App, ref.Version, reason, back, orEmpty(done.Signed)}, func(w io.Writer) {
		fmt.Fprintf(w, "withdrawn %s\n", ref)
		for _, c := range moved {
			fmt.Fprintf(w, "  %s:%s is %s again\n", c.App, c.Channel, c.Version)
		}
	})
	return nil
}
