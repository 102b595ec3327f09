package release

import (
	"cmp"
	"fmt"
	"reflect"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Channel reads a channel; nil if there is none.
func (tx *Tx) Channel(app, channel string) (*Channel, error) {
	f, b, err := tx.lookUp(app, channelPath(app, channel))
	if err != nil || f == nil {
		return nil, err
	}
	return parseChannel(b)
}

// Promote has a channel point to a version, which must be published, for all machines at once. It reports whether that is new.
func (tx *Tx) Promote(app, version, channel string) (bool, error) {
	return tx.Start(app, version, channel, nil)
}

// Start is Promote by a rollout: machines come in the policy's waves. It may also change the policy of the version that the channel has; the rollout then begins
// anew, with no machine being sent back.
func (tx *Tx) Start(app, version, channel string, policy *Policy) (bool, error) {
	live, withdrawn, err := tx.platforms(app, version)
	if err != nil {
		return false, err
	}
	if len(live) == 0 && len(withdrawn) > 0 {
		_, why, err := tx.Find(app, version, withdrawn[0])
		return false, cmp.Or(err, error(&withdrawnError{Ref{App: app, Version: version}, why, ErrNoRelease}))
	}
	if len(live) == 0 {
		return false, fmt.Errorf("%s@%s %w", app, version, ErrNoRelease)
	}
	c, err := tx.Channel(app, channel)
	if err != nil {
		return false, err
	}
	if c == nil {
		c = &Channel{Format: 1, App: app, Channel: channel}
	}
	if c.Version == version && reflect.DeepEqual(c.Rollout, policy) {
		return false, nil
	}
	if c.Version != "" && c.Version != version {
		all, err := tx.reachedAll(c)
		if err != nil {
			return false, err
		}
		if all {
			c.Previous = append([]string{c.Version}, c.Previous...)
		}
	}
	if c.Previous, err = tx.fallbacks(c, version); err != nil {
		return false, err
	}
	return true, tx.point(c, version, policy)
}

// reachedAll says whether a channel's version may be gone back to from the next one: all machines may have it, since it was promoted or its rollout has reached all, and it was
// not halted. A rollout that begins anew counts from its new begin. Of one that is steered elsewhere this knows what the last push has brought.
func (tx *Tx) reachedAll(c *Channel) (bool, error) {
	_, at, err := tx.Rollout(c.App, c.Channel)
	if err != nil || c.Rollout == nil {
		return err == nil, err
	}
	return !at.Halted && c.Rollout.Waves[c.Reached(at, tx.now)].Share == 1, nil
}

// fallbacks are the versions that a channel may go back to, the newest first: those that it names, but for one, and for those that were withdrawn or pruned since.
func (tx *Tx) fallbacks(c *Channel, but string) (list []string, err error) {
	for _, v := range c.Previous {
		live, _, err := tx.platforms(c.App, v)
		if err != nil {
			return nil, err
		}
		if v != but && len(live) > 0 {
			list = append(list, v)
		}
	}
	return list, nil
}

// forget has a channel name no other fallbacks than these. While it has a rollout its document stays as it is: with another one the rollout would begin anew, and what was halted
// would go on. Who goes back, and finds that the version was withdrawn, stays where it is.
func (tx *Tx) forget(c *Channel, fallbacks []string) error {
	if c.Rollout != nil || len(fallbacks) == len(c.Previous) {
		return nil
	}
	c.Previous = fallbacks
	return tx.point(c, c.Version, nil)
}

func (tx *Tx) point(c *Channel, version string, policy *Policy) error {
	c.Previous = c.Previous[:min(len(c.Previous), maxPrevious)]
	c.Rollout, c.Version, c.At = policy, version, tx.now.UTC().Truncate(time.Second)
	b, err := c.encode()
	if err != nil {
		return err
	}
	return tx.document(c.App, channelPath(c.App, c.Channel), b)
}

// Channels lists an app's channels.
func (tx *Tx) Channels(app string) (list []*Channel, err error) {
	err = tx.each(app, func(path string, _ *metadata.TargetFiles) error {
		if _, name, ok := parseChannelPath(path); ok {
			c, err := tx.Channel(app, name)
			if err != nil {
				return err
			}
			list = append(list, c)
		}
		return nil
	})
	return list, err
}
