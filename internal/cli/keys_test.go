package cli

import (
	"encoding/json"
	"fmt"
	"strings"
)

// keyReader reads the keys of a JSON object in the order in which they stand.
type keyReader struct{ *json.Decoder }

func newKeyReader(line string) keyReader { return keyReader{json.NewDecoder(strings.NewReader(line))} }

// object reads an object as "key key{inner inner} key".
func (d keyReader) object() (string, error) {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", fmt.Errorf("%v is no object (%v)", t, err)
	}
	return d.rest()
}

// rest reads up to the brace that closes the object.
func (d keyReader) rest() (string, error) {
	var keys []string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return "", err
		}
		value, err := d.Token()
		if err != nil {
			return "", err
		}
		inner := ""
		if value == json.Delim('{') {
			if inner, err = d.rest(); err != nil {
				return "", err
			}
			inner = "{" + inner + "}"
		}
		keys = append(keys, fmt.Sprint(key)+inner)
	}
	_, err := d.Token()
	return strings.Join(keys, " "), err
}
