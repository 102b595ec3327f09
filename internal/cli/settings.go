package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"shoal/internal/schedule"
)

// settings are the values of one command's options: flag, SHOAL_* variable, configuration file, default; the
// first that is there counts. They are checked as a whole before the command runs.
type settings struct {
	list   []*setting
	byName map[string]*setting
	again  func() (*settings, error) // merges them anew from the same origins; the file may be another by then
}

type setting struct {
	*option
	texts  []string // as written; nil if the default holds
	value  any
	origin string // "flag", "env", "file" or "default"
	where  string // which flag, which variable, which file
}

// mergeSettings collects a command's settings. all is every command, to check the file as a whole.
func mergeSettings(c *command, all []*command, given map[string][]string, lookupEnv func(string) (string, bool)) (*settings, error) {
	s := &settings{byName: map[string]*setting{}}
	s.again = func() (*settings, error) { return mergeSettings(c, all, given, lookupEnv) }
	for i := range c.options {
		one := &setting{option: &c.options[i], origin: "default"}
		if texts, ok := given[one.name]; ok {
			one.texts, one.origin, one.where = texts, "flag", "--"+one.name
		} else if text, ok := lookupEnv(one.variable()); ok && text != "" {
			one.texts, one.origin, one.where = []string{text}, "env", one.variable()
			if one.kind == kindList {
				one.texts = strings.Fields(text)
			}
		}
		s.list = append(s.list, one)
		s.byName[one.name] = one
	}
	if config := s.byName["config"]; config != nil && config.texts != nil {
		path := config.texts[len(config.texts)-1]
		file, err := readConfig(path, all)
		if err != nil {
			return nil, err
		}
		for _, one := range s.list {
			if one.texts != nil || one.invocation {
				continue
			}
			if texts, ok := file.lookup(cmp.Or(c.table, c.name), one.name); ok {
				one.texts, one.origin, one.where = texts, "file", path
			}
		}
	}
	for _, one := range s.list {
		if one.texts == nil && one.defFrom != nil {
			one.texts = []string{one.defFrom()}
		}
		var err error
		if one.value, err = one.parse(one.texts); err != nil {
			return nil, usagef("", "%s: %s", one.where, err)
		}
	}
	return s, nil
}

func (s *settings) has(name string) bool { return s.byName[name] != nil }

// given says whether anybody set the option: it is not just the default.
func (s *settings) given(name string) bool { return s.get(name).origin != "default" }

// The typed values. A name or a type that the command's options do not have is a bug, and panics.

func (s *settings) String(name string) string          { return valueOf[string](s, name) }
func (s *settings) Bool(name string) bool              { return valueOf[bool](s, name) }
func (s *settings) List(name string) []string          { return valueOf[[]string](s, name) }
func (s *settings) Int(name string) int64              { return valueOf[int64](s, name) }
func (s *settings) Bytes(name string) int64            { return valueOf[int64](s, name) } // a size, or a rate per second
func (s *settings) Rates(name string) schedule.Rates   { return valueOf[schedule.Rates](s, name) }
func (s *settings) Duration(name string) time.Duration { return valueOf[time.Duration](s, name) }

func (s *settings) get(name string) *setting {
	one := s.byName[name]
	if one == nil {
		panic(fmt.Sprintf("no option %q", name))
	}
	return one
}

func valueOf[T any](s *settings, name string) T { return s.get(name).value.(T) }
