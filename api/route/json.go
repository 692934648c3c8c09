package route

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/oskadev/mailroom/api/exchange"
)

// maxDepth bounds how deep arrays and objects nest: far more than any schema asks for,
// and few enough for every library that reads them later.
const maxDepth = 256

// depthOf returns how deep arrays and objects nest in a value that was read.
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

// readJSON reads a body strictly. It refuses an object that has a name twice: some parsers
// take the first of them and some the last (RFC 8259, section 4).
func readJSON(body string) (any, *exchange.Problem) {
	var value any
	// Half a surrogate pair, \ud800, is read as U+FFFD.
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
	case semantic != nil: // a number that no float64 can hold
		wrong.Problem = fmt.Sprintf("out of range: number %.40s", semantic.JSONValue)
	default:
		wrong.Problem = err.Error()
	}
	return nil, wrong
}
