package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEnvelopesAreOneLine(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `{"ok":true,"result":{"a":"x\ny"}}`, string(Success([]byte("{\n\"a\": \"x\\ny\"\r\n}"))))
	e := Error{Code: "SOLD_OUT", Message: "line\nbreak", Status: 409, Details: func() {}}
	assert.NotContains(t, string(Failure(&e)), "\n")
	assert.Contains(t, string(Failure(&e)), `"code":"SOLD_OUT"`, "details that are no JSON are left out")
}
