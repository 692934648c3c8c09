package wire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestIsAnswerStatus(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 201, 202, 299, 400, 404, 418, 499, 500, 599} {
		assert.True(t, IsAnswerStatus(status), status)
	}
	for _, status := range []int{-1, 0, 1, 100, 101, 103, 199, 204, 205, 300, 301, 304, 399, 600, 1000} {
		assert.False(t, IsAnswerStatus(status), status)
		assert.NotEqual(t, status, StatusOf(`{"ok":true,"result":1}`, status), status)
		assert.NotEqual(t, status, StatusOf(`{"ok":false,"error":{}}`, status), status)
	}
}

func TestIsETag(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{`""`, `"a"`, `"nrF6-_x!#~"`} {
		assert.True(t, IsETag(tag), tag)
	}
	for _, tag := range []string{``, `"`, `a`, `"a`, `a"`, `W/"a"`, `"a"b"`, `"a b"`, "\"a\r\nX: y\"", "\"\x7f\"", `"ä"`, `"` + strings.Repeat("a", 200) + `"`} {
		assert.False(t, IsETag(tag), tag)
	}
}
