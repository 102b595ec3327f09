package release

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Bounds of documents, in bytes and counts.
const (
	maxDocument  = 64 << 10
	maxNotes     = 32 << 10
	maxArtefacts = 64
	maxPrevious  = 16
	maxContent   = 1 << 50 // bytes that a release can claim to have
)

// Release is a release document: which content a version of an app is on a platform. It never changes once it is published. As JSON, indented by nothing,
// with the fields in this order and a newline at its end; unknown fields are ignored, another format is refused.
type Release struct {
	Format    int        `json:"format"` // 1
	App       string     `json:"app"`
	Version   string     `json:"version"`
	Platform  string     `json:"platform"`
	Published time.Time  `json:"published"` // UTC, whole seconds
	Notes     string     `json:"notes,omitempty"`
	Artefacts []Artefact `json:"artefacts"` // exactly one of kind T
}

// Artefact is one way to get at a release's content.
type Artefact struct {
	// Kind is T for the content itself, F for one archive of it, P for a patch, I for the index of its blocks. Others are ignored by who does not know them.
	Kind     string `json:"kind"`
	From     string `json:"from,omitempty"` // of a patch: the version it begins with,
	Base     string `json:"base,omitempty"` // and the v2 info hash of that version's content
	Name     string `json:"name"`           // the torrent's
	V1       string `json:"v1,omitempty"`   // info hashes in hex; a torrent always has v2
	V2       string `json:"v2,omitempty"`
	Bytes    int64  `json:"bytes"`              // of content
	Metainfo int64  `json:"metainfo,omitempty"` // bytes of its metainfo, as the repository has it
}

// isTorrent says whether the artefact is content that swarms have.
func (a *Artefact) isTorrent() bool { return a.V2 != "" }

// IsTarget says whether the artefact is a file of the repository's targets, perhaps besides being a torrent: see Patches.
func (a *Artefact) IsTarget() bool { return a.Kind == "I" || a.Kind == "P" && a.Bytes < MaxSmallPatch }

// valid says whether the fields are what they can be.
func (a *Artefact) valid() bool {
	return a.Kind != "" && len(a.Kind) <= 8 && (a.From == "" || ValidVersion(a.From)) && (a.Base == "" || isHash(a.Base, 32)) && a.Bytes >= 0 && a.Bytes <= maxContent &&
		a.Name != "" && len(a.Name) <= 255 && !strings.ContainsAny(a.Name, "/\\\x00") && (a.V2 == "" || isHash(a.V2, 32)) && (a.V1 == "" || isHash(a.V1, 20)) && a.Metainfo >= 0 && a.Metainfo <= MaxMetainfo
}

// Ref names the release.
func (r *Release) Ref() Ref { return Ref{App: r.App, Version: r.Version} }

// Tree is the artefact of kind T.
func (r *Release) Tree() *Artefact { return r.artefact("T") }

// IsTree says whether the release is a directory: its tree is called APP-VERSION then, and a single file what it was.
func (r *Release) IsTree() bool { return r.Tree().Name == r.App+"-"+r.Version }

// Archive is the artefact of kind F, nil if there is none.
func (r *Release) Archive() *Artefact { return r.artefact("F") }

func (r *Release) artefact(kind string) *Artefact {
	for i := range r.Artefacts {
		if r.Artefacts[i].Kind == kind {
			return &r.Artefacts[i]
		}
	}
	return nil
}

func (r *Release) encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	_, err = parseRelease(b) // what we would not read we do not write
	return b, err
}

func parseRelease(b []byte) (*Release, error) {
	var r Release
	if err := unmarshal(b, &r); err != nil {
		return nil, err
	}
	trees := 0
	for i := range r.Artefacts {
		a := &r.Artefacts[i]
		if !a.valid() || !a.isTorrent() {
			return nil, fmt.Errorf("artefact %d of a release document is not one", i)
		}
		if a.Kind == "T" {
			trees++
		}
	}
	switch {
	case r.Format != 1:
		return nil, fmt.Errorf("a release document of format %d: a newer shoal is needed", r.Format)
	case !ValidApp(r.App) || !ValidVersion(r.Version) || !ValidPlatform(r.Platform):
		return nil, fmt.Errorf("a release document of %.80q, %.80q, %.80q", r.App, r.Version, r.Platform)
	case len(r.Notes) > maxNotes:
		return nil, fmt.Errorf("release notes of %d bytes: at most %d", len(r.Notes), maxNotes)
	case len(r.Artefacts) > maxArtefacts || trees != 1:
		return nil, fmt.Errorf("a release document with %d artefacts, %d of kind T", len(r.Artefacts), trees)
	}
	return &r, nil
}

// Channel is a channel document: which version a channel has.
type Channel struct {
	Format   int       `json:"format"` // 1
	App      string    `json:"app"`
	Channel  string    `json:"channel"`
	Version  string    `json:"version"`
	Previous []string  `json:"previous,omitempty"` // what all machines could have before, newest first: the versions that may be gone back to. An older shoal named what was halted, too
	At       time.Time `json:"at"`                 // when it got this version: UTC, whole seconds
	Rollout  *Policy   `json:"rollout,omitempty"`  // how it may spread; nil: everywhere at once
}

func (c *Channel) encode() ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	_, err = parseChannel(b)
	return b, err
}

func parseChannel(b []byte) (*Channel, error) {
	var c Channel
	if err := unmarshal(b, &c); err != nil {
		return nil, err
	}
	if c.Format != 1 {
		return nil, fmt.Errorf("a channel document of format %d: a newer shoal is needed", c.Format)
	}
	if !ValidApp(c.App) || !ValidChannel(c.Channel) || !ValidVersion(c.Version) || len(c.Previous) > maxPrevious {
		return nil, fmt.Errorf("a channel document of %.80q, %.80q, %.80q", c.App, c.Channel, c.Version)
	}
	for _, v := range c.Previous {
		if !ValidVersion(v) {
			return nil, fmt.Errorf("a channel document with the version %.80q", v)
		}
	}
	if err := c.Rollout.check(); err != nil {
		return nil, err
	}
	return &c, nil
}

func unmarshal(b []byte, v any) error {
	if len(b) > maxDocument {
		return fmt.Errorf("a document of %d bytes: at most %d", len(b), maxDocument)
	}
	return json.Unmarshal(b, v)
}

// isHash says whether s is n bytes in lower-case hex.
func isHash(s string, n int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == n && strings.ToLower(s) == s
}
