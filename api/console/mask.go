package console

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Mask hides the members with one name in arguments and outcomes of some actions.
type Mask struct{ service, action, member *regexp.Regexp }

// ParseMask parses SERVICE.ACTION.MEMBER; * in a part stands for any characters, as in
// users.*.email.
func ParseMask(text string) (Mask, error) {
	service, rest, _ := strings.Cut(text, ".")
	dot := strings.LastIndexByte(rest, '.') // the action of a composition is its path
	if service == "" || dot < 1 || dot == len(rest)-1 {
		return Mask{}, fmt.Errorf("mask %.100q: want SERVICE.ACTION.MEMBER, such as users.*.email", text)
	}
	return Mask{pattern(service), pattern(rest[:dot]), pattern(rest[dot+1:])}, nil
}

// pattern returns a regular expression for a text in which * stands for any characters.
func pattern(text string) *regexp.Regexp {
	return regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(text), `\*`, ".*") + "$")
}

const masked = "•••"

// maskText hides what the masks name in JSON of an action. Text that is no JSON, since it
// was cut, is hidden as a whole where a mask could apply.
func maskText(masks []Mask, service, action, text string) string {
	var members []*regexp.Regexp
	for _, m := range masks {
		if m.service.MatchString(service) && m.action.MatchString(action) {
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
func hide(v any, members []*regexp.Regexp) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			v[name] = hide(value, members)
			for _, member := range members {
				if member.MatchString(name) {
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
