package cli

import (
	"strings"
	"testing"
	"time"

	"shoal/internal/release"
	"shoal/internal/swarmtest"
)

// Before a role expires, inspect says so: in time for somebody to fetch a key that lies elsewhere.
func TestInspectWarnsOfWhatExpires(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		age  time.Duration // of everything in the repository
		want map[string]string
	}{
		{time.Hour, nil},
		{5 * 24 * time.Hour, map[string]string{"timestamp": "expires in 8 days"}},
		{20 * 24 * time.Hour, map[string]string{"timestamp": "has expired", "snapshot": "expires in 9 days"}},
		{310 * 24 * time.Hour, map[string]string{"timestamp": "has expired", "snapshot": "has expired", "root": "expires in 54 days", "targets": "expires in 54 days", "rollout": "expires in 54 days"}},
	} {
		h := swarmtest.Local(t)
		repo := h.Path("repo")
		made := func() time.Time { return time.Now().Add(-tt.age) }
		if _, err := release.Init(t.Context(), repo, release.InitConfig{}, release.Config{Now: made}); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, e := range h.Run("inspect", repo).Succeed().Events("notice") {
			role, says, _ := strings.Cut(e.String("message"), " ")
			says, hint, _ := strings.Cut(says, ": ")
			if got[role] = says; !strings.HasPrefix(hint, "shoal key renew") {
				t.Errorf("%s: %q does not say what to do", role, hint)
			}
		}
		if len(got) != len(tt.want) {
			t.Errorf("%v old: warned of %v, want %v", tt.age, got, tt.want)
		}
		for role, want := range tt.want {
			if got[role] != want {
				t.Errorf("%v old: %s %q, want %q", tt.age, role, got[role], want)
			}
		}
	}
}
