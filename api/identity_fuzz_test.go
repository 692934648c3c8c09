package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/bus"
)

// FuzzCallers: two calls have one cached answer only if the same principal, who may
// do the same, asks the same.
func FuzzCallers(f *testing.F) {
	f.Add("a", "", "x", "a", "", "x", "[1]", "[1]")
	f.Add("ab", "c", "x", "a", "bc", "x", "[1]", "[1]")
	f.Add("1:a", "", "x", "a", "1:", "x", "[1]", "[1]")
	f.Add("a", "t", "x y", "a", "t", "x", "[1]", "[1]")
	f.Add("a", "t", "GET", "a", "t", "", "[1]", "GET[1]")
	f.Add("", "", "", "", "", "1", "", "")
	r := &route{action: &bus.Action{Name: "GET"}, caching: &caching{}}
	f.Fuzz(func(t *testing.T, subject, tenant, scopes, subject2, tenant2, scopes2, args, args2 string) {
		one := &bus.Principal{Subject: subject, Tenant: tenant, Scopes: strings.Fields(scopes)}
		other := &bus.Principal{Subject: subject2, Tenant: tenant2, Scopes: strings.Fields(scopes2)}
		same := subject == subject2 && tenant == tenant2 && slices.Equal(one.Scopes, other.Scopes) && args == args2
		identity := func(p *bus.Principal, args string) string { return (&call{principal: p}).identity(r, args) }
		assert.Equal(t, same, identity(one, args) == identity(other, args2))
		assert.NotEqual(t, identity(nil, args), identity(one, args), "nobody is nobody else")
	})
}
