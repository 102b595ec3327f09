package cli

import (
	"bytes"
	"regexp"
	"slices"
	"testing"

	"shoal/swarm"
)

// Hashing what is there has a progress of its own, in order with the rest.
func TestFetchProgress(t *testing.T) {
	var out bytes.Buffer
	p := fetchProgress{report: &reporter{stdout: &out, stderr: &out, json: true}, name: "x", total: 100}
	p.update(swarm.Stats{Wanted: 100})
	p.update(swarm.Stats{Wanted: 100, Have: 10, Checked: 5})
	p.update(swarm.Stats{Wanted: 100, Have: 10, Checked: 50})
	p.update(swarm.Stats{Wanted: 100, Have: 60, Checked: 90, Prepared: true})
	p.update(swarm.Stats{Wanted: 100, Have: 100, Checked: 90, Prepared: true})
	var got []string
	for _, m := range regexp.MustCompile(`"event":"start".*?"name":"(.*?)","total":(\d+)`).FindAllStringSubmatch(out.String(), -1) {
		got = append(got, m[1]+" "+m[2])
	}
	if want := []string{"checking x 90", "x 100"}; !slices.Equal(got, want) {
		t.Errorf("started %q, want %q: %s", got, want, out.String())
	}
	if last := p.report.progress; last == nil || last.done != 100 {
		t.Errorf("the last progress is %+v, want 100 done", last)
	}
}
