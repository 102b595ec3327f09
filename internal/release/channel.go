package release

import (
	"fmt"
	"reflect"
	"slices"
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
	live, _, err := tx.platforms(app, version)
	if err != nil {
		return false, err
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
		c.Previous = append([]string{c.Version}, c.Previous...)
	}
	c.Previous = slices.DeleteFunc(c.Previous, func(v string) bool { return v == version })
	return true, tx.point(c, version, policy)
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
