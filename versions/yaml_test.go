package versions

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// What is no YAML is told where it is, though the library knows the place of nothing
// but what surrounds it.
func TestMalformedTextsWithTheirPlace(t *testing.T) {
	t.Parallel()
	const head = "versions:\n  v1:\n    routes:\n"
	for name, c := range map[string]struct{ text, said string }{
		"a tab":              {"versions:\n\tv1: {}\n", "2:1: found character that cannot start any token"},
		"a bracket":          {head + "      GET /x: {scopes: [a}\n      GET /y: {}\n", "4:1: did not find expected ',' or ']'"},
		"indented too far":   {head + "      GET /x:\n        summary: x\n         timeout: 1s\n", "6:17: mapping values are not allowed in this context"},
		"not far enough":     {head + "      GET /x:\n        timeout: 1s\n     GET /y:\n        timeout: 1s\n", "6:12: did not find expected key"},
		"a colon is missing": {head + "      GET /x\n        timeout: 1s\n", "5:16: mapping values are not allowed in this context"},
		"a quote without end": {
			head + "      GET /x:\n        summary: \"abc\n        timeout: 1s\n      GET /y:\n        timeout: 1s\n", "5:1: found unexpected end of stream",
		},
		"a list without end":      {head + "      GET /x:\n        scopes: [a,\n", "5:1: did not find expected node content"},
		"an anchor nobody set":    {"versions:\n  v1: *none\n  v2: {}\n", "2:1: unknown anchor 'none' referenced"},
		"characters of two bytes": {"versions: {ü: ü, v1: @x}\n", "1:22: found character that cannot start any token"},
		"no UTF-8":                {head + "      GET /x: {summary: \"\xff\"}\n", "4:23: invalid leading UTF-8 octet"},
		"a second document":       {"versions: {v1: {}}\n---\nv2: [}\n", "3:1: did not find expected node content"},
		"what holds itself":       {head + "      GET /x: &x {steps: [{call: things GET}], path: {x: *x}}\n", "4:15: anchor 'x' value contains itself"},
		"nothing":                 {"# to be written\n", "1:1: the file is empty; it begins with versions:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, faults := Parse([]byte(c.text), nil)
			assert.Nil(t, file)
			assert.Contains(t, "\n"+faults.String()+"\n", "\n"+c.said+"\n")
		})
	}
}
