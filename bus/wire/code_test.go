package wire

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The codes and statuses of the documentation: a new code needs a line here.
func TestEveryCodeHasItsStatus(t *testing.T) {
	t.Parallel()
	statuses := map[Code]int{
		"BAD_REQUEST": 400, "UNAUTHENTICATED": 401, "FORBIDDEN": 403, "NOT_FOUND": 404, "METHOD_NOT_ALLOWED": 405,
		"REQUEST_TIMEOUT": 408, "CONFLICT": 409, "PAYLOAD_TOO_LARGE": 413, "UNSUPPORTED_MEDIA_TYPE": 415,
		"UNPROCESSABLE": 422, "IDEMPOTENCY_KEY_REUSED": 422, "RATE_LIMITED": 429, "HEADERS_TOO_LARGE": 431,
		"INTERNAL": 500, "NOT_SUPPORTED": 501, "UNAVAILABLE": 503, "OVERLOADED": 503, "TIMEOUT": 504,
		"ASK_CYCLE": 508, "ASK_TOO_DEEP": 508, "STORAGE_LIMITED": 429, "OUTCOME_NOT_KEPT": 410,
	}
	for code, status := range statuses {
		assert.Equal(t, status, code.Status(), code)
	}
	assert.Equal(t, 500, Code("ANYTHING_ELSE").Status())

	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			value := spec.Values[0].(*ast.BasicLit).Value
			assert.Contains(t, statuses, Code(value[1:len(value)-1]), "declared, but not in this test")
		}
		return true
	})
}
