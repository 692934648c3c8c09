package openapi

import (
	"net/url"
	"strconv"
	"strings"
)

// maxPath is the maximum length of a path in a document, in bytes.
const maxPath = 1024

// template returns a path such as /users/{id} for /users/:id, and the names in it. Its
// shape is the path without these names: a document must not have two paths of one shape.
func template(path string) (text, shape string, params []string) {
	segments := strings.Split(path, "/")
	shapes := make([]string, len(segments))
	for i, segment := range segments {
		name, isParameter := strings.CutPrefix(segment, ":")
		if !isParameter {
			segments[i] = url.PathEscape(segment)
			shapes[i] = segments[i]
			continue
		}
		name = parameterName(name, params)
		params = append(params, name)
		segments[i], shapes[i] = "{"+name+"}", "{}"
	}
	return strings.Join(segments, "/"), strings.Join(shapes, "/"), params
}

// placeholders returns the names in a template.
func placeholders(template string) []string {
	var names []string
	for segment := range strings.SplitSeq(template, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			names = append(names, strings.TrimSuffix(name, "}"))
		}
	}
	return names
}

// parameterName returns the name of a parameter for a template: letters and digits of ASCII,
// and not one of the taken names.
func parameterName(name string, taken []string) string {
	wanted := strings.Join(words(name), "_")
	if wanted == "" {
		wanted = "parameter"
	}
	found := wanted
	for i := 2; contains(taken, found); i++ {
		found = wanted + "_" + strconv.Itoa(i)
	}
	return found
}

func contains(names []string, name string) bool {
	for _, other := range names {
		if strings.EqualFold(other, name) {
			return true
		}
	}
	return false
}
