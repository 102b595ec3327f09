package release

import (
	"context"
	"slices"
	"testing"
)

// What a machine that follows a repository sees is what its publisher sees.
func TestTrustListsWhatIsPublished(t *testing.T) {
	r := newRepo(t, InitConfig{})
	for _, v := range []string{"1.0", "1.1", "2.0"} {
		r.publish("tool", v, "stable")
	}
	r.publish("game", "7", "beta")
	r.update(func(tx *Tx) error {
		_, err := tx.Withdraw("tool", "2.0", "broken")
		return err
	})
	files := &Recorder{r.copy(), map[string][]byte{}}
	ctx := context.Background()
	tr, err := r.client().trust(files)
	if err != nil {
		t.Fatal(err)
	}
	apps, err := tr.Apps(ctx)
	if err != nil || !slices.Equal(apps, []string{"game", "tool"}) {
		t.Fatalf("apps %v, %v", apps, err)
	}
	a, err := tr.App(ctx, "tool")
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, rel := range a.Releases {
		name := rel.Version
		if rel.Withdrawn != "" {
			name += " " + rel.Withdrawn
		}
		versions = append(versions, name)
	}
	slices.Sort(versions)
	if want := []string{"1.0", "1.1", "2.0 broken"}; !slices.Equal(versions, want) {
		t.Errorf("releases %q, want %q", versions, want)
	}
	if len(a.Channels) != 1 || a.Channels[0].Channel != "stable" || a.Channels[0].Version != "1.1" {
		t.Errorf("channels %+v, want stable at 1.1", a.Channels)
	}
	if _, err := tr.App(ctx, "none"); err == nil {
		t.Error("an app that is not there was listed")
	}
	if err := tr.ReadAround(ctx); err != nil || files.Seen["metadata/1.root.json"] == nil {
		t.Errorf("what others need besides was not read: %v", err)
	}
	if tr.Version() < 5 {
		t.Errorf("version %d after five changes", tr.Version())
	}
}
