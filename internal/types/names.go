package types

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// naming are the rules of a language for identifiers.
type naming struct {
	method, param func(text string, rules *naming) string
	initialisms   bool // ID in place of Id
	namesLiterals bool // a list of strings is a type with a name
	// The names that the generated code uses itself, and keywords.
	reservedTypes, reservedMethods, reservedParams []string
}

// scope holds the names that are in use at one level of the code.
type scope struct {
	reserved []string
	next     map[string]int // the number for the next use of a name
}

func newScope(reserved []string) *scope {
	return &scope{reserved: reserved, next: make(map[string]int)}
}

// take returns a name that is free: this one, with an underscore if it is reserved, or with
// a number if it is in use.
func (s *scope) take(name string) string {
	if slices.Contains(s.reserved, name) {
		name += "_"
	}
	separator := ""
	if unicode.IsDigit(rune(name[len(name)-1])) {
		separator = "_"
	}
	free := name
	for s.next[free] > 0 {
		s.next[name]++
		free = name + separator + strconv.Itoa(s.next[name])
	}
	s.next[free] = 1
	return free
}

// words splits a text into lower-case words of ASCII letters and digits: at other characters,
// and where a capital begins a word. Other letters become their code points.
func words(text string) []string {
	var all []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			all = append(all, strings.ToLower(word.String()))
			word.Reset()
		}
	}
	runes := []rune(text)
	for i, c := range runes {
		switch {
		case c > unicode.MaxASCII && (unicode.IsLetter(c) || unicode.IsDigit(c)):
			fmt.Fprintf(&word, "u%x", c)
		case !isWordByte(c):
			end()
		default:
			if i > 0 && isUpper(c) && (isLower(runes[i-1]) || i+1 < len(runes) && isUpper(runes[i-1]) && isLower(runes[i+1])) {
				end()
			}
			word.WriteRune(c)
		}
	}
	end()
	return all
}

func isUpper(c rune) bool    { return 'A' <= c && c <= 'Z' }
func isLower(c rune) bool    { return 'a' <= c && c <= 'z' }
func isWordByte(c rune) bool { return isUpper(c) || isLower(c) || '0' <= c && c <= '9' }

// pascal returns a name such as GetUser. It begins with a letter.
func pascal(text string, rules *naming) string {
	var name strings.Builder
	for _, word := range words(text) {
		if rules.initialisms && slices.Contains(initialisms(), word) {
			name.WriteString(strings.ToUpper(word))
		} else {
			name.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	if name.Len() == 0 || !isUpper(rune(name.String()[0])) {
		return "X" + name.String()
	}
	return name.String()
}

// camel returns a name such as getUser.
func camel(text string, rules *naming) string {
	all := words(text)
	if len(all) == 0 || !isLower(rune(all[0][0])) {
		return "x" + strings.Join(all, "")
	}
	if len(all) == 1 {
		return all[0]
	}
	return all[0] + pascal(strings.Join(all[1:], " "), rules)
}

// snake returns a name such as get_user.
func snake(text string, _ *naming) string {
	all := words(text)
	if len(all) == 0 || !isLower(rune(all[0][0])) {
		return "x" + strings.Join(all, "_")
	}
	return strings.Join(all, "_")
}

func initialisms() []string {
	return []string{"api", "html", "http", "https", "id", "ip", "json", "sql", "ttl", "uri", "url", "uuid"}
}

// isIdentifier reports whether a text is an identifier in all languages, or a keyword.
func isIdentifier(text string) bool {
	for i, c := range text {
		if c != '_' && !isWordByte(c) || i == 0 && '0' <= c && c <= '9' {
			return false
		}
	}
	return text != ""
}

// comment returns a text that is safe in a comment of any language: one line, without what
// ends a comment.
func comment(text string) string {
	line := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\ufffd"), func(c rune) bool {
		return unicode.IsSpace(c) || !unicode.IsPrint(c)
	}), " ")
	return strings.ReplaceAll(line, "*/", "* /")
}

// sentence returns a text that ends with a full stop.
func sentence(text string) string {
	text = comment(text)
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}
