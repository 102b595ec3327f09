package release

import (
	"cmp"
	"encoding/json"
	"fmt"
)

// Withdraw takes a version back on all platforms: clients refuse it from then on. Channels that have it go back to the newest version before it that had
// come to all machines and is still there; it returns them. Where there is none the version cannot go. Of a version that is withdrawn already it changes the
// reason, unless why is "".
func (tx *Tx) Withdraw(app, version, why string) (moved []*Channel, err error) {
	live, withdrawn, err := tx.platforms(app, version)
	if err != nil {
		return nil, err
	}
	if len(live) == 0 {
		if len(withdrawn) == 0 {
			return nil, fmt.Errorf("%s@%s %w", app, version, ErrNoRelease)
		}
		if why != "" {
			err = tx.markWithdrawn(app, version, withdrawn, why)
		}
		return nil, err
	}
	channels, err := tx.Channels(app)
	if err != nil {
		return nil, err
	}
	for _, c := range channels {
		rest, err := tx.fallbacks(c, version)
		if err != nil {
			return nil, err
		}
		if c.Version != version {
			if err := tx.forget(c, rest); err != nil {
				return nil, err
			}
			continue
		}
		if len(rest) == 0 {
			return nil, fmt.Errorf("%s@%s %w: channel %s has it, and no version before it has come to all machines and is still there", app, version, ErrInUse, c.Channel)
		}
		back := rest[0]
		c.Previous = rest[1:]
		if err := tx.point(c, back, nil); err != nil {
			return nil, err
		}
		moved = append(moved, c)
	}
	return moved, tx.markWithdrawn(app, version, live, cmp.Or(why, "no reason given"))
}

// markWithdrawn says of releases that they are withdrawn, and why, where that is not said yet.
func (tx *Tx) markWithdrawn(app, version string, platforms []string, why string) error {
	note, err := json.Marshal(custom{Withdrawn: why})
	if err != nil {
		return err
	}
	for _, platform := range platforms {
		path := releasePath(app, version, platform)
		f, err := tx.find(app, path)
		if err != nil {
			return err
		}
		if customOf(f).Withdrawn == why {
			continue
		}
		marked := *f
		raw := json.RawMessage(note)
		marked.Custom = &raw
		if err := tx.put(app, path, &marked); err != nil {
			return err
		}
	}
	return nil
}
