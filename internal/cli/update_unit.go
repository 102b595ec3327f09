package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"shoal/internal/updater"
)

// printUnit prints units for systemd that run this very command: a service that stays, or with --once a service and the timer that starts it.
func (e *env) printUnit(c updater.Config, args []string) error {
	if len(args) == 0 {
		known, err := updater.History(c)
		if err != nil {
			return err
		}
		if known.Source == "" {
			return usagef("such as shoal update https://origin.example/myapp:stable --to "+c.To+" --print-unit", "--print-unit needs a SOURCE")
		}
		args = []string{known.Source}
	}
	to, err := filepath.Abs(c.To)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	line, err := e.unitCommand(program, args)
	if err != nil {
		return err
	}
	name := filepath.Base(to) + "-update"
	once := e.settings.Bool("once")
	var b strings.Builder
	fmt.Fprintf(&b, "# %s.service\n[Unit]\nDescription=Keeps %s up to date\nWants=network-online.target\nAfter=network-online.target\n\n[Service]\n", name, to)
	if once {
		fmt.Fprintf(&b, "Type=oneshot\n")
	} else {
		fmt.Fprintf(&b, "Type=exec\nRestart=on-failure\nRestartSec=30\nRestartPreventExitStatus=%d\n", exitUsage)
	}
	// Held is no failure of the unit's, nor is it one that the rollout was halted, which others did. What the hooks have started stays when it is stopped.
	fmt.Fprintf(&b, "ExecStart=%s\nSuccessExitStatus=%d %d\nKillMode=process\nStateDirectory=shoal\n", line, exitHeld, exitHalted)
	if !once {
		fmt.Fprintf(&b, "\n[Install]\nWantedBy=multi-user.target\n")
	} else {
		every := e.settings.Duration("every")
		fmt.Fprintf(&b, "\n# %s.timer\n[Unit]\nDescription=Looks for updates of %s\n\n[Timer]\nOnActiveSec=1min\nOnUnitInactiveSec=%ds\nRandomizedDelaySec=%ds\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n",
			name, to, int(every/time.Second), int(every/(5*time.Second)))
	}
	_, err = fmt.Fprint(e.stdout, b.String())
	return err
}

// unitCommand is the command line that has these settings, as systemd reads it. Relative paths become absolute: a unit runs in /.
func (e *env) unitCommand(program string, args []string) (string, error) {
	words := append([]string{program, "update"}, args...)
	for _, s := range e.settings.list {
		if s.origin == "default" || s.origin == "file" || s.name == "print-unit" || s.name == "json" {
			continue
		}
		if s.secret {
			return "", usagef("put it into a file for --config, which only its owner may read", "--%s is a secret, and units can be read by everybody", s.name)
		}
		for _, text := range s.texts {
			if s.complete != "" && text != "" {
				absolute, err := filepath.Abs(text)
				if err != nil {
					return "", err
				}
				text = absolute
			}
			if s.kind == kindBool {
				words = append(words, "--"+s.name+"="+text)
				continue
			}
			words = append(words, "--"+s.name, text)
		}
	}
	for i, w := range words {
		words[i] = systemdQuote(w)
	}
	return strings.Join(words, " "), nil
}

// systemdQuote writes a word of ExecStart=: systemd.service(5), "Command lines".
func systemdQuote(word string) string {
	word = strings.NewReplacer("%", "%%", "$", "$$").Replace(word)
	if word != "" && !strings.ContainsAny(word, " \t\n\"'\\;") {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(word) + `"`
}
