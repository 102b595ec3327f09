package cli

import (
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	root := rootCommand(append(testCommands(), completionCommand()))
	for _, tt := range []struct {
		name  string
		words []string
		want  string // candidates without meanings
	}{
		{"commands", []string{""}, "fetch edge completion"},
		{"commands by prefix", []string{"e"}, "edge"},
		{"nothing yet", nil, "fetch edge completion"},
		{"subcommands", []string{"edge", ""}, "ls"},
		{"arguments are files", []string{"fetch", "a"}, ":file"},
		{"flags", []string{"fetch", "--limit"}, "--limit-up --limit-down --limit-lan"},
		{"flags of a subcommand", []string{"edge", "ls", "-"}, "--json --quiet --config --help"},
		{"flags once", []string{"edge", "--json", "-q", "--"}, "--config --help"},
		{"lists again", []string{"fetch", "--peer", "a:1", "--pe"}, "--peer"},
		{"choices", []string{"fetch", "--format", ""}, "fast small"},
		{"choices by prefix", []string{"fetch", "a", "--format", "s"}, "small"},
		{"choices behind =", []string{"fetch", "--format=s"}, "--format=small"},
		{"choices behind bash's =", []string{"fetch", "--format", "=", "s"}, "small"},
		{"choices right behind bash's =", []string{"fetch", "--format", "="}, "fast small"},
		{"value is a directory", []string{"fetch", "-o", ""}, ":dir"},
		{"value behind =", []string{"fetch", "--output=x"}, ":dir"},
		{"value is the user's", []string{"fetch", "--peer", ""}, ""},
		{"a value is no command", []string{"-o", "fetch", "e"}, "edge"},
		{"shells", []string{"completion", ""}, "bash fish zsh"},
	} {
		var out strings.Builder
		if err := complete(&out, root, tt.words); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			candidate, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			got = append(got, candidate)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q: got %q, want %q", tt.name, tt.words, got, tt.want)
		}
	}
}
