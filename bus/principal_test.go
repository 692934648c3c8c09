package bus_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/bus"
)

func TestPrincipalsAreToldApart(t *testing.T) {
	t.Parallel()
	var nobody *bus.Principal
	all := []*bus.Principal{
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
	assert.Equal(t, (&bus.Principal{Subject: "a"}).Key(), (&bus.Principal{Subject: "a", Scopes: []string{"x"}}).Key(), "what it may do is not who it is")

	assert.False(t, nobody.Has("users:read"))
	assert.True(t, (&bus.Principal{Scopes: []string{"users:read"}}).Has("users:read"))
	assert.False(t, (&bus.Principal{Scopes: []string{"users:reader"}}).Has("users:read"))
}
