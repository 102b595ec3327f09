package cli

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// configFile is a TOML file with settings. Keys are names of flags. Those above the first table hold for
// every command that has such a flag; a table, named after a command, holds for that command and wins.
//
//	site = "berlin"
//
//	[serve]
//	listen = ":8080"
//	limit-up = "20Mbit"
type configFile struct {
	common map[string][]string
	tables map[string]map[string][]string // by command
}

const maxConfigBytes = 1 << 20

// readConfig reads and checks a whole file. A key that no command knows, and a value that cannot be read, are
// errors even if the command at hand would not use them: a typing error must not be found out by its absence.
func readConfig(path string, all []*command) (*configFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxConfigBytes {
		return nil, usagef("", "%s: larger than %d bytes: not a configuration", path, maxConfigBytes)
	}
	return parseConfig(path, string(text), all)
}

func parseConfig(path, text string, all []*command) (*configFile, error) {
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil {
		return nil, usagef("the file is TOML: keys are names of flags, tables names of commands", "%s: %s", path, err)
	}
	root := rootCommand(all)
	file := &configFile{common: map[string][]string{}, tables: map[string]map[string][]string{}}
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		table, isTable := tree[key].(map[string]any)
		if !isTable {
			texts, err := configValue(path, key, tree[key], anyOption(root, key), allOptionNames(all))
			if err != nil {
				return nil, err
			}
			file.common[key] = texts
			continue
		}
		c := root.find(key)
		if c == nil {
			return nil, unknownKey(path, "table", "["+key+"]", key, root.names())
		}
		file.tables[key] = map[string][]string{}
		for _, name := range slices.Sorted(maps.Keys(table)) {
			texts, err := configValue(path, key+"."+name, table[name], c.option(name), c.optionNames())
			if err != nil {
				return nil, err
			}
			file.tables[key][name] = texts
		}
	}
	return file, nil
}

// configValue turns a TOML value into the texts that a flag would have been given, and checks that they can be read.
func configValue(path, key string, value any, o *option, known []string) ([]string, error) {
	name := key[1+strings.LastIndexByte(key, '.'):]
	if o == nil || o.invocation || o.name != name { // short names are for the command line
		return nil, unknownKey(path, "key", strconv.Quote(key), name, known)
	}
	var texts []string
	switch value := value.(type) {
	case []any:
		if o.kind != kindList {
			return nil, usagef("", "%s: %s takes one value, not a list", path, key)
		}
		for _, item := range value {
			text, ok := item.(string)
			if !ok {
				return nil, usagef("", "%s: %s is a list of strings", path, key)
			}
			texts = append(texts, text)
		}
	case string:
		texts = []string{value}
	case bool, int64:
		if _, isBool := value.(bool); isBool != (o.kind == kindBool) {
			return nil, usagef("", "%s: %s cannot be %v", path, key, value)
		}
		texts = []string{fmt.Sprint(value)}
	case float64:
		if o.kind != kindNumber {
			return nil, usagef("", "%s: %s cannot be %v: write it as a string", path, key, value)
		}
		texts = []string{strconv.FormatFloat(value, 'g', -1, 64)}
	default:
		return nil, usagef("", "%s: %s cannot be %v: write it as a string", path, key, value)
	}
	if _, err := o.parse(texts); err != nil {
		return nil, usagef("", "%s: %s: %s", path, key, err)
	}
	return texts, nil
}

func unknownKey(path, what, shown, name string, known []string) error {
	hint := "keys are names of flags, tables names of commands"
	if near := nearest(name, known); near != "" {
		hint = "did you mean " + near + "?"
	}
	return usagef(hint, "%s: unknown %s %s", path, what, shown)
}

func allOptionNames(all []*command) []string {
	var names []string
	for _, c := range all {
		names = append(names, c.optionNames()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// lookup returns what the file says about an option of a command.
func (f *configFile) lookup(command, name string) ([]string, bool) {
	if texts, ok := f.tables[command][name]; ok {
		return texts, true
	}
	texts, ok := f.common[name]
	return texts, ok
}
