package versions

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// elements splits a JSON array.
func elements(array string) (list []jsontext.Value, err error) {
	err = jsonv2.Unmarshal([]byte(array), &list, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return list, err
}

// read decodes JSON for expressions. A whole number is an int. A number that neither an int
// nor a float64 can hold stays a json.Number: it can be passed on but not computed with.
func read(text string) any {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil
	}
	return plain(value)
}

func plain(value any) any {
	switch v := value.(type) {
	case json.Number:
		n, err := v.Int64()
		if err == nil {
			return int(n)
		}
		f, err := v.Float64()
		if err != nil || !strings.ContainsAny(v.String(), ".eE") {
			return v
		}
		if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return int(f) // 4.0 is whole too
		}
		return f
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = plain(v[name])
		}
	}
	return value
}

// huge reports whether a value of read contains a json.Number.
func huge(value any) bool {
	switch v := value.(type) {
	case json.Number:
		return true
	case []any:
		return slices.ContainsFunc(v, huge)
	case map[string]any:
		for _, field := range v {
			if huge(field) {
				return true
			}
		}
	}
	return false
}

// named converts the keys of all maps in a value to texts. Some functions of the language
// return maps with other keys.
func named(value any) any {
	switch v := value.(type) {
	case map[any]any:
		object := make(map[string]any, len(v))
		for key, field := range v {
			object[fmt.Sprint(key)] = named(field)
		}
		return object
	case map[any][]any:
		object := make(map[string]any, len(v))
		for key, field := range v {
			object[fmt.Sprint(key)] = named(field)
		}
		return object
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, field := range v {
			object[key] = named(field)
		}
		return object
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = named(v[i])
		}
		return list
	}
	return value
}
