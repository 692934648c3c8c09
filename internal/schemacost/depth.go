package schemacost

import "fmt"

// MaxDepth is how deep manifests and schemas may be nested.
const MaxDepth = 64

// CheckDepth returns an error if arrays and objects in a JSON text are nested deeper than
// MaxDepth. It does not check the syntax otherwise.
func CheckDepth(text []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("nested deeper than %d levels", MaxDepth)
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}
