package wire

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// maxUnknown is how many unknown members are named.
const maxUnknown = 20

// UnknownMembers returns the paths of the members of a manifest that this version does not
// know, such as actions[0].rout, at most 20. Newer workers may declare such members; they
// are ignored.
func UnknownMembers(manifest []byte) []string {
	var value any
	if json.Unmarshal(manifest, &value) != nil {
		return nil
	}
	return unknown(nil, "", value, reflect.TypeFor[Manifest]())
}

// unknown appends the paths below a value that is read as a Go type. A schema may have any
// members.
func unknown(paths []string, path string, value any, t reflect.Type) []string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := value.(type) {
	case []any:
		if t == reflect.TypeFor[json.RawMessage]() || t.Kind() != reflect.Slice {
			return paths
		}
		for i, item := range v {
			paths = unknown(paths, path+"["+strconv.Itoa(i)+"]", item, t.Elem())
		}
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return paths
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			at := strings.TrimPrefix(path+"."+name, ".")
			if field, known := member(t, name); known {
				paths = unknown(paths, at, v[name], field)
			} else if len(paths) < maxUnknown {
				paths = append(paths, at)
			}
		}
	}
	return paths
}

// member returns the type of a member. Upper and lower case are the same, as for the
// parser.
func member(t reflect.Type, name string) (reflect.Type, bool) {
	for field := range t.Fields() {
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag != "-" && strings.EqualFold(tag, name) {
			return field.Type, true
		}
	}
	return nil, false
}
