package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"shoal/internal/release"
)

func keyCommand() *command {
	options := func(more ...option) []option { return concat(more, keyOptions(), outputOptions()) }
	id := option{name: "id", value: "ID", usage: "the begin of the key's id, where the role has several"}
	return &command{
		name:     "key",
		usage:    "list, add, rotate and revoke a repository's keys",
		long:     "Alone it lists them. A ROLE is root, targets, snapshot, timestamp, rollout, log, item (of the DHT), or the name of an app.",
		examples: []string{"shoal key list", "shoal key rotate timestamp", "shoal key add myapp --threshold 2"},
		options:  options(),
		run:      func(ctx context.Context, e *env, _ []string) error { return e.keyList(ctx) },
		sub: []*command{
			{
				name: "list", usage: "show the keys that count, and where they are", examples: []string{"shoal key list"},
				options: options(),
				run:     func(ctx context.Context, e *env, _ []string) error { return e.keyList(ctx) },
			},
			{
				name: "add", args: "ROLE", usage: "make one more key for a role, and sign with it", examples: []string{"shoal key add root --threshold 2"},
				options: options(option{name: "threshold", kind: kindInt, value: "N", usage: "how many of the role's keys must sign from now on (default: as before)"}),
				minArgs: 1, maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error {
					return e.changeKeys(ctx, func(tx *release.Tx) (string, error) {
						k, err := tx.AddKey(args[0])
						if err != nil {
							return "", err
						}
						if n := int(e.settings.Int("threshold")); n > 0 {
							if err := tx.SetThreshold(args[0], n); err != nil {
								return "", err
							}
						}
						return "added " + k.Role + " " + k.ID[:16], nil
					})
				},
			},
			{
				name: "rotate", args: "ROLE", usage: "replace a key by a new one; machines follow by themselves", examples: []string{"shoal key rotate timestamp"},
				options: options(id), minArgs: 1, maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error {
					return e.changeKeys(ctx, func(tx *release.Tx) (string, error) {
						old, k, err := tx.RotateKey(args[0], e.settings.String("id"))
						if err != nil {
							return "", err
						}
						return fmt.Sprintf("%s %.16s is %.16s now", k.Role, old, k.ID), nil
					})
				},
			},
			{
				name: "revoke", args: "ROLE", usage: "take a key away", examples: []string{"shoal key revoke myapp --id 3f2a"},
				options: options(id), minArgs: 1, maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error {
					return e.changeKeys(ctx, func(tx *release.Tx) (string, error) {
						old, err := tx.RevokeKey(args[0], e.settings.String("id"))
						return fmt.Sprintf("revoked %.16s of %s", old, args[0]), err
					})
				},
			},
			{
				name: "renew", usage: "sign everything again whose keys are here, so that it expires later", examples: []string{"shoal key renew --keys /media/stick"},
				options: options(),
				run: func(ctx context.Context, e *env, _ []string) error {
					return e.changeKeys(ctx, func(tx *release.Tx) (string, error) {
						left, err := tx.Renew()
						if len(left) > 0 {
							e.report.Notice("left as they are, their keys are not here: %s", strings.Join(left, ", "))
						}
						return "signed again", err
					})
				},
			},
		},
	}
}

// changeKeys carries a change of keys through, and says what it was.
func (e *env) changeKeys(ctx context.Context, change func(*release.Tx) (string, error)) error {
	r, err := e.repository(e.signing())
	if err != nil {
		return err
	}
	what := ""
	done, err := r.Update(ctx, func(tx *release.Tx) (err error) {
		what, err = change(tx)
		return err
	})
	if err = changeError(err); err != nil {
		if explain(err).code == exitUnexpected { // such as a role that there is not
			return usagef("shoal key list shows what there is", "%s", err)
		}
		return err
	}
	e.unfinished(done)
	e.report.Result("keychange", struct {
		Change string   `json:"change"`
		Signed []string `json:"signed"`
	}{what, orEmpty(done.Signed)}, func(w io.Writer) {
		fmt.Fprintln(w, what)
		if len(done.Signed) > 0 {
			fmt.Fprintf(w, "  signed  %s\n", strings.Join(done.Signed, ", "))
		}
	})
	return nil
}

func (e *env) keyList(ctx context.Context) error {
	r, err := e.repository(release.Config{KeyDirs: e.settings.List("keys")})
	if err != nil {
		return err
	}
	o, err := r.Inspect(ctx)
	if err != nil {
		return err
	}
	type keyLine struct {
		Role      string `json:"role"`
		ID        string `json:"id"`
		Threshold int    `json:"threshold"`
		Path      string `json:"path"` // "": it is elsewhere
		Encrypted bool   `json:"encrypted"`
	}
	keys := []keyLine{}
	for _, k := range o.Keys {
		keys = append(keys, keyLine{k.Role, k.ID, k.Threshold, k.Path, k.Sealed})
	}
	e.report.Result("keys", struct {
		Keys []keyLine `json:"keys"`
	}{keys}, func(w io.Writer) {
		fmt.Fprintf(w, "%-16s %-9s %-18s %s\n", "ROLE", "THRESHOLD", "KEY", "WHERE")
		for _, k := range keys {
			where := cmp.Or(k.Path, "elsewhere")
			if k.Encrypted {
				where += " (encrypted)"
			}
			fmt.Fprintf(w, "%-16s %-9d %-18.16s %s\n", clean(k.Role), k.Threshold, k.ID, clean(where))
		}
	})
	return nil
}
