package wire

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestManifestBytes(t *testing.T) {
	t.Parallel()
	m := Manifest{Service: "users", Version: "1.4.0", Protocol: 1, Actions: []Action{{
		Name: "GET_USER", Summary: "One user", Routes: []string{"GET /users/:id"}, Safe: true, TimeoutMillis: 10000,
		Args:   []Argument{{Name: "id", In: InPath, Schema: json.RawMessage(`{ "type": "integer", "minimum": 1 }`)}},
		Result: json.RawMessage(`{"type":"object","properties":{"name":{"type":"string"},"id":{"type":"integer"}}}`),
	}, {Name: "COUNT_USERS", Args: []Argument{}, Scopes: []string{"users:read", "stats"}}}}
	canonical, digest, err := m.Encode()
	require.NoError(t, err)
	testsupport.Golden(t, "../testdata/manifest.golden", string(canonical)+"\n"+digest+"\n")

	// The order of keys in a schema, and spaces, are no difference.
	m.Actions[0].Args[0].Schema = json.RawMessage(`{"minimum":1,"type":"integer"}`)
	_, same, err := m.Encode()
	require.NoError(t, err)
	assert.Equal(t, digest, same)
	parsed, err := ParseManifest(canonical)
	require.NoError(t, err)
	_, same, err = parsed.Encode()
	require.NoError(t, err)
	assert.Equal(t, digest, same)
}

func TestParseManifestRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		``, `[]`, `{"service":"Users","protocol":1}`, `{"service":"users","protocol":2}`, `{"service":"v1","protocol":1}`,
		`{"service":"compositions","protocol":1}`, `{"service":"users","protocol":1,"actions":[{}]}`,
	} {
		_, err := ParseManifest([]byte(bad))
		require.Error(t, err, bad)
	}
}
