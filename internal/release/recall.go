package release

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// resolved is what a release was found to be under one root and timestamp. While both are the newest and nothing on the way has expired, it is what would be
// found again, and an update check need not read a repository's roles, however large they are.
type resolved struct {
	Ref       string    `json:"ref"`
	Platforms string    `json:"platforms"`
	Root      int64     `json:"root"`      // versions
	Timestamp int64     `json:"timestamp"` //
	Until     time.Time `json:"until"`     // what expires first on the way
	Platform  string    `json:"platform"`
	Document  string    `json:"document"` // SHA-256 of the kept release document
	Channel   string    `json:"channel"`  // and of the channel document; "" if there was none on the way
	Index     int64     `json:"index"`
	Metainfo  string    `json:"metainfo"` // SHA-256 and length
	Length    int64     `json:"length"`
}

// resolved remembers what a release was found to be.
func (t *Trust) resolved(ref Ref, platforms []string, f *Found, document string) {
	if t.dir == "" || t.cfg.Carried {
		return
	}
	r := resolved{Ref: ref.String(), Platforms: strings.Join(platforms, " "), Root: t.set.Root.Signed.Version, Timestamp: t.set.Timestamp.Signed.Version,
		Until: t.set.Snapshot.Signed.Expires, Platform: f.Platform, Document: document, Index: f.LogIndex,
		Metainfo: hex.EncodeToString(f.metainfo.Hashes["sha256"]), Length: f.metainfo.Length}
	for _, m := range t.set.Targets {
		if m.Signed.Expires.Before(r.Until) {
			r.Until = m.Signed.Expires
		}
	}
	if f.Channel != nil {
		b, err := f.Channel.encode()
		if err != nil {
			return
		}
		r.Channel = sha256Hex(b)
	}
	list := slices.DeleteFunc(t.known.Resolved, func(o resolved) bool {
		return o.Timestamp != r.Timestamp || o.Root != r.Root || o.Ref == r.Ref && o.Platforms == r.Platforms
	})
	list = append(list, r)
	t.known.Resolved = list[max(0, len(list)-maxNames):]
}

// recall returns what was resolved under the root and timestamp of now; nil if nothing was.
func (t *Trust) recall(ref Ref, platforms []string) *Found {
	i := slices.IndexFunc(t.known.Resolved, func(r resolved) bool {
		return r.Ref == ref.String() && r.Platforms == strings.Join(platforms, " ") && r.Root == t.set.Root.Signed.Version &&
			r.Timestamp == t.set.Timestamp.Signed.Version && t.set.RefTime.Before(r.Until) && r.Index < t.checkpoint.Size
	})
	if i < 0 {
		return nil
	}
	r := t.known.Resolved[i]
	f := &Found{LogIndex: r.Index}
	b, err := t.read("release-" + ref.App + "-" + r.Platform + ".json")
	if err != nil || sha256Hex(b) != r.Document {
		return nil
	}
	if f.Release, err = parseRelease(b); err != nil {
		return nil
	}
	if r.Channel != "" {
		if b, err = t.read("channel-" + ref.App + "-" + ref.Channel + ".json"); err != nil || sha256Hex(b) != r.Channel {
			return nil
		}
		if f.Channel, err = parseChannel(b); err != nil || f.Channel.Rollout != nil { // how far that is stands elsewhere
			return nil
		}
	}
	hash, err := hex.DecodeString(r.Metainfo)
	if err != nil || bytes.Equal(hash, nil) {
		return nil
	}
	f.metainfo = &metadata.TargetFiles{Length: r.Length, Hashes: metadata.Hashes{"sha256": hash}}
	return f
}
