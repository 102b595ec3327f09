package release

import (
	"cmp"
	"runtime"
	"strings"
)

// Ref names a release of an app: by its version, or by the channel that decides it. Exactly one of Channel and Version is set.
type Ref struct{ App, Channel, Version string }

func (r Ref) String() string {
	if r.Channel != "" {
		return r.App + ":" + r.Channel
	}
	return r.App + "@" + r.Version
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

// ParseRef reads APP:CHANNEL and APP@VERSION. A channel begins with a letter, so that it is never a port.
func ParseRef(s string) (Ref, bool) {
	if app, channel, ok := strings.Cut(s, ":"); ok {
		return Ref{App: app, Channel: channel}, ValidApp(app) && ValidChannel(channel)
	}
	app, version, ok := strings.Cut(s, "@")
	return Ref{App: app, Version: version}, ok && ValidApp(app) && ValidVersion(version)
}

// ValidApp says whether s can be the name of an app.
func ValidApp(s string) bool { return isWord(s, lower+digits, lower+digits+"._-", 64) }

// ValidChannel says whether s can be the name of a channel.
func ValidChannel(s string) bool { return isWord(s, lower, lower+digits+"-", 32) }

// ValidVersion says whether s can be a version.
func ValidVersion(s string) bool {
	return isWord(s, lower+upper+digits, lower+upper+digits+".+_-", 64)
}

// ValidPlatform says whether s can name a platform, such as linux-amd64.
func ValidPlatform(s string) bool { return isWord(s, lower+digits, lower+digits+"._-", 64) }

// isWord says whether s begins with one of first, goes on with those of rest, and has at most limit bytes.
func isWord(s, first, rest string, limit int) bool {
	return s != "" && len(s) <= limit && strings.IndexByte(first, s[0]) >= 0 && strings.Trim(s, rest) == ""
}

// ThisPlatform is that of this machine, such as linux-amd64. AnyPlatform runs on every one.
func ThisPlatform() string { return runtime.GOOS + "-" + runtime.GOARCH }

// AnyPlatform is the platform of what runs on every machine.
const AnyPlatform = "any"

// Platforms are those a client takes, best first: the one it was told, else its own, and any. What was told is not made up for by what this machine happens to be.
func Platforms(told string) []string {
	platform := cmp.Or(told, ThisPlatform())
	if platform == AnyPlatform {
		return []string{AnyPlatform}
	}
	return []string{platform, AnyPlatform}
}

// The paths of targets, as TUF counts them: below public/targets, before consistent snapshots put the hash before the last name.

func releasePath(app, version, platform string) string {
	return "releases/" + app + "/" + version + "/" + platform + ".json"
}

func channelPath(app, channel string) string { return "channels/" + app + "/" + channel + ".json" }

func rolloutPath(app, channel string) string { return "rollouts/" + app + "/" + channel + ".json" }

func metainfoPath(v2 string) string { return "metainfo/" + v2 + ".torrent.zst" }

// parseReleasePath takes releasePath apart.
func parseReleasePath(path string) (app, version, platform string, ok bool) {
	rest, ok := strings.CutPrefix(path, "releases/")
	if !ok {
		return "", "", "", false
	}
	parts := strings.Split(strings.TrimSuffix(rest, ".json"), "/")
	if len(parts) != 3 || !strings.HasSuffix(rest, ".json") || !ValidApp(parts[0]) || !ValidVersion(parts[1]) || !ValidPlatform(parts[2]) {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// parseChannelPath takes channelPath apart.
func parseChannelPath(path string) (app, channel string, ok bool) {
	rest, ok := strings.CutPrefix(path, "channels/")
	app, channel, slash := strings.Cut(strings.TrimSuffix(rest, ".json"), "/")
	return app, channel, ok && slash && strings.HasSuffix(rest, ".json") && ValidApp(app) && ValidChannel(channel)
}

// targetFile is where a target lies below public: TUF puts the hash before the last name.
func targetFile(path, sha256 string) string {
	cut := strings.LastIndexByte(path, '/') + 1
	return "targets/" + path[:cut] + sha256 + "." + path[cut:]
}
