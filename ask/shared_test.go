package ask

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
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
	action := &wire.Action{Name: "GET", Cache: &wire.Caching{}}
	f.Fuzz(func(t *testing.T, subject, tenant, scopes, subject2, tenant2, scopes2, args, args2 string) {
		one := &wire.Principal{Subject: subject, Tenant: tenant, Scopes: strings.Fields(scopes)}
		other := &wire.Principal{Subject: subject2, Tenant: tenant2, Scopes: strings.Fields(scopes2)}
		same := subject == subject2 && tenant == tenant2 && slices.Equal(one.Scopes, other.Scopes) && args == args2
		identity := func(p *wire.Principal, args string) string { return Identity(action, p, args) }
		assert.Equal(t, same, identity(one, args) == identity(other, args2))
		assert.NotEqual(t, identity(nil, args), identity(one, args), "nobody is nobody else")
	})
}

func TestSharedIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	for _, want := range []Shared{
		{Status: 200, Meta: "worker=w,run=1", Envelope: `{"ok":true,"result":{"a b":1}}`},
		{Status: 503, Envelope: `{"ok":false,"error":{"code":"UNAVAILABLE"}}`},
	} {
		o := want.Outcome()
		got, err := ParseShared(o.Value)
		require.NoError(t, err)
		if want.Meta == "" {
			want.Meta = "-"
		}
		assert.NotEmpty(t, got.ETag)
		got.ETag = ""
		assert.Equal(t, want, got)
		assert.Equal(t, want.Status == 200, o.Store)
		assert.Equal(t, want.Status == 503, o.Broken)
	}
	for _, broken := range []string{"", "x", `"e" 200 -`, `"e" x - {}`} {
		_, err := ParseShared(broken)
		require.Error(t, err, broken)
	}
}
