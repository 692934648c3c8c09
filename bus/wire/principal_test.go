package wire_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

func TestPrincipalsAreToldApart(t *testing.T) {
	t.Parallel()
	var nobody *wire.Principal
	all := []*wire.Principal{
		nobody,
		{},
		{Subject: "a"},
		{Subject: "ab"},
		{Tenant: "a"},
		{Tenant: "a", Subject: "b"},
		{Tenant: "ab"},
		{Subject: "1:ab"},
		{Tenant: "1", Subject: ":ab"},
	}
	seen := make(map[string]int)
	for i, p := range all {
		other, known := seen[p.Key()]
		assert.False(t, known, "%+v has the key of %d", p, other)
		seen[p.Key()] = i
	}
	assert.Empty(t, nobody.Key())
	assert.Equal(t, (&wire.Principal{Subject: "a"}).Key(), (&wire.Principal{Subject: "a", Scopes: []string{"x"}}).Key(), "what it may do is not who it is")

	assert.False(t, nobody.Has("users:read"))
	assert.True(t, (&wire.Principal{Scopes: []string{"users:read"}}).Has("users:read"))
	assert.False(t, (&wire.Principal{Scopes: []string{"users:reader"}}).Has("users:read"))
}

func TestScopesHaveToBeSane(t *testing.T) {
	t.Parallel()
	for _, ok := range []string{"a", "users:write", "https://example.com/read", "!", strings.Repeat("x", 128)} {
		require.NoError(t, wire.CheckScope(ok), ok)
	}
	for _, bad := range []string{"", "a b", `a"b`, `a\b`, "a\n", "ä", "\x7f", strings.Repeat("x", 129)} {
		require.Error(t, wire.CheckScope(bad), bad)
	}
	has := &wire.Principal{Scopes: []string{"a", "b"}}
	assert.Empty(t, has.Lacks(nil))
	assert.Empty(t, has.Lacks([]string{"b", "a"}))
	assert.Equal(t, "c", has.Lacks([]string{"a", "c", "d"}))
	var nobody *wire.Principal
	assert.Equal(t, "a", nobody.Lacks([]string{"a"}))
}
