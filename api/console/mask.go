package console

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// Mask hides the members with one name in arguments and outcomes of some actions.
type Mask struct{ service, action, member string }

// ParseMask parses SERVICE.ACTION.MEMBER; each part may hold *, as in users.*.email.
func ParseMask(text string) (Mask, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return Mask{}, fmt.Errorf("mask %.100q: want SERVICE.ACTION.MEMBER, such as users.*.email", text)
	}
	for _, part := range parts {
		if _, err := path.Match(part, ""); err != nil {
			return Mask{}, fmt.Errorf("mask %.100q: %.100q is not a valid pattern", text, part)
		}
	}
	return Mask{parts[0], parts[1], parts[2]}, nil
}

func matches(pattern, name string) bool {
	ok, _ := path.Match(pattern, name) // ParseMask checked the pattern
	return ok
}

const masked = "•••"

// maskText hides what the masks name in JSON of an action. Text that is no JSON, since it
// was cut, is hidden as a whole where a mask could apply.
func maskText(masks []Mask, service, action, text string) string {
	var members []string
	for _, m := range masks {
		if matches(m.service, service) && matches(m.action, action) {
			members = append(members, m.member)
		}
	}
	if len(members) == 0 || text == "" {
		return text
	}
	var v any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&v) != nil || decoder.More() {
		return masked + " (cut, and a mask may apply)"
	}
	hidden, err := json.Marshal(hide(v, members))
	if err != nil {
		return masked
	}
	return string(hidden)
}

// hide replaces the values of members with these names.
func hide(v any, members []string) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			v[name] = hide(value, members)
			for _, member := range members {
				if matches(member, name) {
					v[name] = masked
				}
			}
		}
	case []any:
		for i := range v {
			v[i] = hide(v[i], members)
		}
	}
	return v
}
