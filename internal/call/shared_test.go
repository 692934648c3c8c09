package call

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

// FuzzCallers checks that two calls share a cached answer only if principal, scopes, action
// and arguments are the same.
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
		of := func(p *wire.Principal, args string) string { return identity(action, p, args) }
		assert.Equal(t, same, of(one, args) == of(other, args2))
		assert.NotEqual(t, of(nil, args), of(one, args), "an anonymous caller shares with no principal")
	})
}

func TestSharedIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	unavailable := wire.NewError(wire.CodeUnavailable, "no worker of users is running")
	unavailable.RetryAfter = 1500 * time.Millisecond
	for _, want := range []*shared{
		newShared(200, "worker=w,run=1", `{"ok":true,"result":{"a b":1}}`),
		newShared(200, "-", `{"ok":true,"result":1}`),
		failed(unavailable),
	} {
		o := want.outcome()
		got, err := parseShared(o.Value)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		assert.NotEmpty(t, got.etag)
		assert.Equal(t, want.status == 200, o.Store)
		assert.Equal(t, want.status == 503, o.Broken)
	}
	meta, err := wire.ParseReplyMeta(failed(unavailable).meta)
	require.NoError(t, err)
	assert.Equal(t, 2*time.Second, meta.RetryAfter, "callers who share the failure may retry then, rounded up")
	for _, broken := range []string{
		"", "x", `"e" 200 -`, `"e" x - {}`, `"e" 101 - {}`, `"e" 100 - {}`, `"e" 103 - {}`, `"e" 204 - {}`, `"e" 304 - {}`, `"e" 1000 - {}`, `"e" -1 - {}`,
		`e 200 - {}`, `"e 200 - {}`, "\"e\r\nX:y\" 200 - {}", `W/"e" 200 - {}`, `"e" 200 - `,
	} {
		_, err := parseShared(broken)
		require.Error(t, err, broken)
	}
}
