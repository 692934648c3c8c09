package route

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/oskadev/mailroom/api/exchange"
)

// maxDepth bounds the nesting of arrays and objects: far above the need of any schema, and
// within the limits of every JSON library.
const maxDepth = 256

// depthOf returns the depth of nested arrays and objects in a value.
func depthOf(value any) int {
	below := 0
	switch v := value.(type) {
	case map[string]any:
		for _, field := range v {
			below = max(below, depthOf(field))
		}
	case []any:
		for _, item := range v {
			below = max(below, depthOf(item))
		}
	default:
		return 0
	}
	return below + 1
}

// readJSON parses a body strictly. It refuses an object with a duplicate name: some parsers
// take the first value and some the last (RFC 8259, section 4).
func readJSON(body string) (any, *exchange.Problem) {
	var value any
	// A lone surrogate, \ud800, is read as U+FFFD.
	err := json.Unmarshal([]byte(body), &value, jsontext.AllowInvalidUTF8(true))
	wrong := &exchange.Problem{Field: "body"}
	syntax, _ := errors.AsType[*jsontext.SyntacticError](err)
	semantic, _ := errors.AsType[*json.SemanticError](err)
	switch {
	case err == nil && depthOf(value) <= maxDepth:
		return value, nil
	case err == nil, syntax != nil && strings.Count(string(syntax.JSONPointer), "/") > maxDepth:
		wrong.Problem = fmt.Sprintf("nested deeper than %d", maxDepth)
	case errors.Is(err, jsontext.ErrDuplicateName):
		wrong.Field, wrong.Problem = syntax.JSONPointer.LastToken(), "is given twice"
	case syntax != nil:
		wrong.Problem = "malformed JSON: " + strings.TrimPrefix(syntax.Error(), "jsontext: ")
	case semantic != nil: // a number outside the range of float64
		wrong.Problem = fmt.Sprintf("out of range: number %.40s", semantic.JSONValue)
	default:
		wrong.Problem = err.Error()
	}
	return nil, wrong
}
