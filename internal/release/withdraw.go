package release

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Withdraw takes a version back on all platforms: clients refuse it from then on. Channels that have it go back to the newest version they had before; it
// returns them. Where there is none the version cannot go.
func (tx *Tx) Withdraw(app, version, why string) (moved []*Channel, err error) {
	live, withdrawn, err := tx.platforms(app, version)
	if err != nil {
		return nil, err
	}
	if len(live) == 0 {
		if len(withdrawn) > 0 {
			return nil, nil
		}
		return nil, fmt.Errorf("%s@%s %w", app, version, ErrNoRelease)
	}
	channels, err := tx.Channels(app)
	if err != nil {
		return nil, err
	}
	for _, c := range channels {
		had := len(c.Previous)
		c.Previous = slices.DeleteFunc(c.Previous, func(v string) bool { return v == version })
		if c.Version != version {
			if len(c.Previous) < had {
				if err := tx.point(c, c.Version, c.Rollout); err != nil {
					return nil, err
				}
			}
			continue
		}
		if len(c.Previous) == 0 {
			return nil, fmt.Errorf("%s@%s %w: channel %s has it and had nothing before", app, version, ErrInUse, c.Channel)
		}
		back := c.Previous[0]
		c.Previous = c.Previous[1:]
		if err := tx.point(c, back, nil); err != nil {
			return nil, err
		}
		moved = append(moved, c)
	}
	note, err := json.Marshal(custom{Withdrawn: why})
	if err != nil {
		return nil, err
	}
	for _, platform := range live {
		path := releasePath(app, version, platform)
		f, err := tx.find(app, path)
		if err != nil {
			return nil, err
		}
		marked := *f
		raw := json.RawMessage(note)
		marked.Custom = &raw
		if err := tx.put(app, path, &marked); err != nil {
			return nil, err
		}
	}
	return moved, nil
}
