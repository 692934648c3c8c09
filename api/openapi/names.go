package openapi

import (
	"strconv"
	"strings"
)

// names gives out names that differ in more than case and punctuation: generators of code
// drop both.
type names map[string]bool

// take returns a name that is like the wanted one and not taken yet.
func (n names) take(wanted string) string {
	name := wanted
	for i := 2; n[fold(name)]; i++ {
		name = wanted + "_" + strconv.Itoa(i)
	}
	n[fold(name)] = true
	return name
}

func fold(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if isWord(r) {
			return r
		}
		return -1
	}, name))
}

func isWord(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// maxName is the maximum length of a part of a name, in bytes.
const maxName = 64

// words returns the words of a text: letters and digits of ASCII.
func words(text string) []string {
	if len(text) > maxName {
		text = text[:maxName]
	}
	return strings.FieldsFunc(text, func(r rune) bool { return !isWord(r) })
}

// pascal returns a name such as UsersGetUserResult.
func pascal(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		for _, word := range words(part) {
			if word == strings.ToUpper(word) {
				word = strings.ToLower(word)
			}
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

// upper returns a name such as USERS_GET_USER.
func upper(parts ...string) string {
	var all []string
	for _, part := range parts {
		all = append(all, words(part)...)
	}
	return strings.ToUpper(strings.Join(all, "_"))
}
