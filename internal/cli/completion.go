package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

func completionCommand() *command {
	return &command{
		name:  "completion",
		args:  "bash|zsh|fish",
		usage: "print a script that completes shoal's commands and flags",
		examples: []string{
			"source <(shoal completion bash)                                  # in ~/.bashrc",
			"source <(shoal completion zsh)                                   # in ~/.zshrc",
			"shoal completion fish > ~/.config/fish/completions/shoal.fish",
		},
		options: outputOptions(),
		minArgs: 1, maxArgs: 1,
		run: func(_ context.Context, e *env, args []string) error {
			script, ok := completionScripts()[args[0]]
			if !ok {
				return usagef("bash, zsh or fish", "no completion for %q", args[0])
			}
			_, err := io.WriteString(e.stdout, script)
			return err
		},
	}
}

// completeWord as first argument makes the program answer a completion script: the words so far follow, the
// last one (which may be empty) is to be completed. The answer has a candidate per line, a tab and its
// meaning behind it, and at last :file or :dir if names of files are candidates too.
const completeWord = "__complete"

func complete(w io.Writer, root *command, words []string) error {
	if len(words) == 0 {
		words = []string{""}
	}
	words, joined := joinEquals(words)
	last := words[len(words)-1]
	c, positional, given, waiting := readWords(root, words[:len(words)-1])
	offer := func(prefix, word, meaning string) {
		if strings.HasPrefix(prefix+word, last) || joined && strings.HasPrefix(word, last) {
			fmt.Fprintf(w, "%s%s\t%s\n", prefix, word, meaning)
		}
	}
	if name, value, ok := strings.Cut(last, "="); ok && strings.HasPrefix(last, "-") {
		if o := c.option(strings.TrimLeft(name, "-")); o != nil {
			waiting = o
			prefix := name + "="
			if joined { // bash's word is what stands behind the =
				last, prefix = value, ""
			}
			for _, choice := range o.choices {
				offer(prefix, choice, "")
			}
			return offerFiles(w, o.complete)
		}
	}
	switch {
	case waiting != nil:
		for _, choice := range waiting.choices {
			offer("", choice, "")
		}
		return offerFiles(w, waiting.complete)
	case strings.HasPrefix(last, "-"):
		for _, o := range c.options {
			if o.kind == kindList || !slices.Contains(given, o.name) {
				offer("--", o.name, o.usage)
			}
		}
		offer("--", "help", "show help")
		return nil
	}
	if positional == 0 {
		for _, s := range c.sub {
			offer("", s.name, s.usage)
		}
	}
	if c.name == "completion" {
		for _, shell := range []string{"bash", "fish", "zsh"} {
			offer("", shell, "")
		}
	}
	if c.maxArgs == anyArgs || positional < c.maxArgs {
		return offerFiles(w, c.complete)
	}
	return nil
}

func offerFiles(w io.Writer, what string) error {
	if what == "" {
		return nil
	}
	_, err := fmt.Fprintln(w, ":"+what)
	return err
}

// readWords follows the words before the one to complete: the command they lead to, how many arguments and
// which flags it got, and the flag whose value comes next, if so.
func readWords(root *command, words []string) (c *command, positional int, given []string, waiting *option) {
	c = root
	for _, word := range words {
		name, isFlag := flagName(word)
		switch {
		case waiting != nil:
			waiting = nil
		case isFlag:
			name, _, hasValue := strings.Cut(name, "=")
			if o := anyOption(root, name); o != nil {
				given = append(given, o.name)
				if o.kind != kindBool && !hasValue {
					waiting = o
				}
			}
		case positional == 0 && c.find(word) != nil:
			c = c.find(word)
		default:
			positional++
		}
	}
	return c, positional, given, waiting
}

// joinEquals undoes that bash takes = for a word of its own: --format = v1 is --format=v1. joined says that
// the last word came about so.
func joinEquals(words []string) (out []string, joined bool) {
	for i := 0; i < len(words); i++ {
		if words[i] != "=" || len(out) == 0 || !strings.HasPrefix(out[len(out)-1], "--") {
			out = append(out, words[i])
			joined = false
			continue
		}
		out[len(out)-1] += "="
		if i+1 < len(words) {
			i++
			out[len(out)-1] += words[i]
		}
		joined = true
	}
	return out, joined
}

func completionScripts() map[string]string {
	return map[string]string{
		"bash": `# bash completion for shoal. To use it: source <(shoal completion bash)
_shoal() {
	local cur=${COMP_WORDS[COMP_CWORD]} line name
	[[ $cur == "=" ]] && cur=
	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		:file | :dir)
			compopt -o filenames 2>/dev/null
			while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -"${line:1:1}" -- "$cur")
			;;
		*) COMPREPLY+=("${line%%$'\t'*}") ;;
		esac
	done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _shoal shoal
`,
		"zsh": `#compdef shoal
# zsh completion for shoal. To use it: source <(shoal completion zsh)
_shoal() {
	local line files
	local -a found
	while IFS= read -r line; do
		case $line in
		:file | :dir) files=$line ;;
		*) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
		esac
	done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
	(( $#found )) && _describe shoal found
	case $files in
	:file) _files ;;
	:dir) _files -/ ;;
	esac
}
if [[ $funcstack[1] == _shoal ]]; then _shoal "$@"; else compdef _shoal shoal; fi
`,
		"fish": `# fish completion for shoal. To use it: shoal completion fish > ~/.config/fish/completions/shoal.fish
function __shoal_complete
	set -l words (commandline -opc) (commandline -ct)
	for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
		switch $line
			case :file
				__fish_complete_path (commandline -ct)
			case :dir
				__fish_complete_directories (commandline -ct)
			case '*'
				echo $line
		end
	end
end
complete -c shoal -f -a '(__shoal_complete)'
`,
	}
}
