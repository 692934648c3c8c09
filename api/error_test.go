package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The statuses as the documentation has them: a new code needs its line here.
func TestEveryCodeHasItsStatus(t *testing.T) {
	t.Parallel()
	statuses := map[string]int{
		codeBadRequest: 400, codeUnauthenticated: 401, codeForbidden: 403, codeNotFound: 404, codeMethodNotAllowed: 405, codeRequestTimeout: 408, codeConflict: 409,
		codePayloadTooLarge: 413, codeUnsupportedMedia: 415, codeKeyReused: 422, codeHeadersTooLarge: 431, codeRateLimited: 429, codeInternal: 500,
		codeNotSupported: 501, codeUnavailable: 503, codeOverloaded: 503, codeTimeout: 504,
	}
	names := map[string]string{
		codeBadRequest: "BAD_REQUEST", codeUnauthenticated: "UNAUTHENTICATED", codeForbidden: "FORBIDDEN", codeNotFound: "NOT_FOUND", codeMethodNotAllowed: "METHOD_NOT_ALLOWED",
		codeRequestTimeout: "REQUEST_TIMEOUT", codeConflict: "CONFLICT", codePayloadTooLarge: "PAYLOAD_TOO_LARGE",
		codeUnsupportedMedia: "UNSUPPORTED_MEDIA_TYPE", codeKeyReused: "IDEMPOTENCY_KEY_REUSED",
		codeHeadersTooLarge: "HEADERS_TOO_LARGE", codeRateLimited: "RATE_LIMITED", codeInternal: "INTERNAL", codeNotSupported: "NOT_SUPPORTED",
		codeUnavailable: "UNAVAILABLE", codeOverloaded: "OVERLOADED", codeTimeout: "TIMEOUT",
	}
	for code, status := range statuses {
		assert.Equal(t, status, statusOf(code), code)
		assert.Equal(t, names[code], code)
	}
	assert.Equal(t, 500, statusOf("ANYTHING_ELSE"))

	file, err := parser.ParseFile(token.NewFileSet(), "error.go", nil, 0)
	require.NoError(t, err)
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "code") {
			declared++
		}
		return true
	})
	assert.Len(t, statuses, declared, "error.go declares other codes than this test knows")
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Nanosecond: "1", time.Second: "1", time.Second + 1: "2", 90 * time.Second: "90", -time.Second: "1",
	} {
		assert.Equal(t, want, seconds(d), d)
	}
}
