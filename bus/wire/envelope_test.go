package wire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEnvelopesAreOneLine(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `{"ok":true,"result":{"a":"x\ny"}}`, string(Success([]byte("{\n\"a\": \"x\\ny\"\r\n}"))))
	e := Error{Code: "SOLD_OUT", Message: "line\nbreak", Status: 409, Details: func() {}}
	assert.NotContains(t, string(Failure(&e)), "\n")
	assert.Contains(t, string(Failure(&e)), `"code":"SOLD_OUT"`, "details that are no JSON are left out")
}

func TestReadEnvelope(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"ok":true,"result":{"a":1}}`:                     `{"a":1}`,
		` { "result" : [1] , "ok" : true , "more" : {} } `: `[1]`,
		`{"ok":true}`:                        `null`,
		`{"ok":true,"result":{"a":1,"a":2}}`: `{"a":1,"a":2}`,
	} {
		result, ok, err := ReadEnvelope(text)
		require.NoError(t, err, text)
		assert.True(t, ok, text)
		assert.Equal(t, want, result)
	}
	_, ok, err := ReadEnvelope(`{"ok":false,"error":{"code":"SOLD_OUT"}}`)
	require.NoError(t, err)
	assert.False(t, ok)
	for _, forged := range []string{
		``, `-`, `{}`, `[]`, `null`, `true`, `{"ok":true,"result":{"paid":true},}`, `{"ok":true,"result":{"paid":true}`, `{"ok":true,"result":1}}`,
		`{"ok":true,"result":1}{"ok":false}`, `{"ok":true,"result":1,"ok":false}`, `{"ok":true,"result":1,"result":2}`, `{"OK":true,"result":1}`,
		`{"ok":"true","result":1}`, `{"ok":1}`, `{"ok":false}`, `{"ok":false,"error":"no"}`, `{"ok":true,"result":}`, `{"ok":true,result:1}`,
	} {
		_, _, err := ReadEnvelope(forged)
		require.Error(t, err, forged)
	}
}

func BenchmarkReadEnvelope(b *testing.B) {
	for name, envelope := range map[string]string{
		"60B":   `{"ok":true,"result":{"id":1,"name":"Oska","email":"oska@example.com"}}`,
		"4KiB":  `{"ok":true,"result":[` + strings.Repeat(`{"id":1,"name":"Oska"},`, 170) + `1]}`,
		"error": `{"ok":false,"error":{"code":"SOLD_OUT","message":"none is left","status":409}}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = ReadEnvelope(envelope)
			}
		})
	}
}
