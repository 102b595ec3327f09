package cli

import (
	"cmp"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"shoal/internal/daemon"
	"shoal/internal/schedule"
	"shoal/internal/units"
)

// kind is how an option's text is read.
type kind uint8

const (
	kindString   kind = iota
	kindBool          // a flag without a value
	kindList          // may be given several times
	kindInt           // a count
	kindSize          // bytes, see package units
	kindRate          // bytes per second, see package units
	kindDuration      // see parseDuration
	kindNumber        // a number that need not be whole, such as 1.1
	kindRates         // rates by the time of the week, see package schedule
)

// option describes one setting of a command: the flag --name, the variable SHOAL_NAME, the key name in the
// configuration file. An option of one name has one kind in all commands, so that flags can be told from
// arguments before the command is known (a test holds this).
type option struct {
	name    string
	short   string // a letter; may be empty
	kind    kind
	value   string // what stands for the value in the help, such as FILE
	usage   string
	def     string        // as a user would write it; empty is the zero value
	defFrom func() string // if def depends on the machine; may be nil
	choices []string
	check   func(string) error // further checks of one value; may be nil
	// complete tells completion what the value is: "file", "dir", or neither.
	complete string
	// secret is for options whose value is not shown.
	secret bool
	// invocation is for options that a configuration file cannot set.
	invocation bool
}

// variable is the environment variable that sets the option.
func (o *option) variable() string {
	return "SHOAL_" + strings.ToUpper(strings.ReplaceAll(o.name, "-", "_"))
}

// parse turns the texts given for the option into its value: string, bool, []string, int64, float64, schedule.Rates or time.Duration.
func (o *option) parse(texts []string) (any, error) {
	if o.kind == kindList {
		for _, text := range texts {
			if err := o.checkText(text); err != nil {
				return nil, err
			}
		}
		return slices.Clone(texts), nil
	}
	text := o.def
	if len(texts) > 0 {
		text = texts[len(texts)-1] // the last one wins, as everywhere
	}
	if text != "" {
		if err := o.checkText(text); err != nil {
			return nil, err
		}
	}
	switch o.kind {
	case kindBool:
		b, err := strconv.ParseBool(cmp.Or(text, "false"))
		if err != nil {
			return nil, fmt.Errorf("%q is neither true nor false", text)
		}
		return b, nil
	case kindInt:
		n, err := strconv.ParseInt(cmp.Or(text, "0"), 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not a whole number from 0 on", text)
		}
		return n, nil
	case kindSize:
		return orZero(units.ParseSize, text)
	case kindRate:
		return orZero(units.ParseRate, text)
	case kindDuration:
		return orZero(parseDuration, text)
	case kindNumber:
		return orZero(daemon.ParseCopies, text)
	case kindRates:
		return orZero(schedule.ParseRates, text)
	}
	return text, nil
}

// orZero reads a text that was given, even an empty one; an option without default and without text is zero.
func orZero[T any](parse func(string) (T, error), text string) (any, error) {
	if text == "" {
		var zero T
		return zero, nil
	}
	return parse(text)
}

func (o *option) checkText(text string) error {
	if len(o.choices) > 0 && !slices.Contains(o.choices, text) {
		return fmt.Errorf("%q is not one of %s", text, strings.Join(o.choices, ", "))
	}
	if o.check != nil {
		return o.check(text)
	}
	return nil
}

// optionFlag is an option as urfave/cli's Flag. It keeps the texts as given; merging and reading is the
// settings' business, which know the other origins too.
type optionFlag struct {
	*option
	given []string
}

// Apply implements cli.Flag. Short names are made long before parsing (see arrange).
func (f *optionFlag) Apply(set *flag.FlagSet) error {
	set.Var(f, f.name, f.usage)
	return nil
}

func (f *optionFlag) Names() []string { return []string{f.name} }
func (f *optionFlag) IsSet() bool     { return len(f.given) > 0 }
func (f *optionFlag) IsVisible() bool { return true }

// Set implements flag.Value.
func (f *optionFlag) Set(text string) error { f.given = append(f.given, text); return nil }
func (f *optionFlag) IsBoolFlag() bool      { return f.kind == kindBool }

// String is the line of the help: names, a tab, the meaning. The flag package calls it on a zero value too.
func (f *optionFlag) String() string {
	if f == nil || f.option == nil {
		return ""
	}
	names := "    --" + f.name
	if f.short != "" {
		names = "-" + f.short + ", --" + f.name
	}
	if f.value != "" {
		names += " " + f.value
	}
	usage := f.usage
	if len(f.choices) > 0 {
		usage += " (" + strings.Join(f.choices, ", ") + ")"
	}
	if f.def != "" {
		usage += " (default " + f.def + ")"
	}
	return names + "\t" + usage
}
