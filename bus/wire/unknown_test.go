package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUnknownMembersAreNamed(t *testing.T) {
	t.Parallel()
	const text = `{"service":"users","protocol":1,"versions":"1","Unknown":1,"actions":[
		{"name":"GET_USER","Routes":["GET /users/:id"],"cache":{"ttl":1,"tags":["a"]},
			"args":[{"name":"id","in":"path","type":"integer","schema":{"type":"integer","x-own":{"y":1}}}]},
		{"name":"PUT_USER","rout":"PUT /users/:id","result":{"x":1}}]}`
	want := []string{"Unknown", "actions[0].args[0].type", "actions[0].cache.ttl", "actions[1].rout", "versions"}
	assert.Equal(t, want, UnknownMembers([]byte(text)))
	m, err := ParseManifest([]byte(text))
	require.NoError(t, err, "newer workers may add members")
	assert.Equal(t, want, m.Unknown)

	assert.Empty(t, UnknownMembers([]byte(`{"service":"users","actions":{"a":1}}`)))
	assert.Empty(t, UnknownMembers([]byte(`{`)))
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf(`"x%d":1`, i))
	}
	assert.Len(t, UnknownMembers([]byte("{"+strings.Join(many, ",")+"}")), maxUnknown)
}

func TestDeclaredManifestHasNoUnknownMembers(t *testing.T) {
	t.Parallel()
	m := Manifest{Service: "users", Protocol: 1, Actions: []Action{{
		Name: "GET_USER", Routes: []string{"GET /users/:id"}, Result: []byte(`{}`), Cache: &Caching{Tags: []string{"a"}, Public: true},
		Args: []Argument{{Name: "id", In: InPath, Schema: []byte(`{"type":"integer"}`)}}, Scopes: []string{"a"}, Lane: "a", Deprecated: true,
	}}}
	text, _, err := m.Encode()
	require.NoError(t, err)
	assert.Empty(t, UnknownMembers(text))
}
