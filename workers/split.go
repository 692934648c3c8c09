package workers

import (
	"encoding/json"
	"strings"
)

// splitArray cuts a JSON array into its elements. The bus has checked that it
// is one, so that only brackets and strings need a look.
func splitArray(array string) []json.RawMessage {
	inner := strings.TrimSpace(array)
	inner = inner[1 : len(inner)-1]
	if strings.TrimSpace(inner) == "" {
		return nil
	}
	elements := make([]json.RawMessage, 0, 3)
	depth, start, inString := 0, 0, false
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case inString && c == '\\':
			i++ // whatever is escaped, it ends no string
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 0:
			elements = append(elements, element(inner[start:i]))
			start = i + 1
		}
	}
	return append(elements, element(inner[start:]))
}

func element(s string) json.RawMessage { return json.RawMessage(strings.TrimSpace(s)) }
