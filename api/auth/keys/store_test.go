package keys

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/testsupport"
)

func connect(t *testing.T, url string) *bus.Conn {
	t.Helper()
	log, _ := testsupport.Logger(t)
	conn, err := bus.Connect(url, bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestKeysAreKeptWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	conn := connect(t, testsupport.Miniredis(t))
	store := NewStore(conn)
	text, made, err := store.Create(t.Context(), Key{Name: "Ada's shop", Scopes: []string{"b", "a", "b"}, Tenant: "acme"}, time.Hour)
	require.NoError(t, err)
	assert.Regexp(t, `^mk_[a-z2-7]{16}_[a-z2-7]{32}$`, text)
	assert.Equal(t, []string{"a", "b"}, made.Scopes)
	assert.WithinDuration(t, time.Now().Add(time.Hour), made.Expires, time.Minute)
	id, secret, ok := parse(text)
	require.True(t, ok)
	assert.Equal(t, made.ID, id)

	value, err := conn.Redis().HGet(t.Context(), "mailroom:keys", id).Result()
	require.NoError(t, err)
	assert.NotContains(t, value, secret)
	assert.NotContains(t, value, id)
	assert.Regexp(t, `"sha256":"[0-9a-f]{64}"`, value)

	other, _, err := store.Create(t.Context(), Key{Name: "other"}, 0)
	require.NoError(t, err)
	assert.NotEqual(t, text[:20], other[:20])
	require.NoError(t, conn.Redis().HSet(t.Context(), "mailroom:keys", "zzzzzzzzzzzzzzzz", "{").Err())
	all, err := store.List(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 3)
	names := make(map[string]string)
	for _, k := range all {
		names[k.Name] = k.ID
	}
	assert.Equal(t, id, names["Ada's shop"])
	assert.Equal(t, "zzzzzzzzzzzzzzzz", names["(unreadable)"], "it can be revoked all the same")

	require.NoError(t, store.Revoke(t.Context(), id))
	require.ErrorIs(t, store.Revoke(t.Context(), id), ErrUnknown)
	all, err = store.List(t.Context())
	require.NoError(t, err)
	assert.Len(t, all, 2)
}

func TestWhatAKeyIsToBeIsChecked(t *testing.T) {
	t.Parallel()
	store := NewStore(connect(t, "redis://"+testsupport.FreeAddr(t)))
	_, _, err := store.Create(t.Context(), Key{Name: "a\nb", Scopes: []string{"a b", "ok", ""}, Tenant: strings.Repeat("x", 129)}, 0)
	require.ErrorContains(t, err, "name")
	require.ErrorContains(t, err, "tenant")
	require.ErrorContains(t, err, `scope "a b"`)
	require.ErrorContains(t, err, `scope ""`)
	_, _, err = store.Create(t.Context(), Key{}, 0)
	require.ErrorContains(t, err, "name")
	_, _, err = store.Create(t.Context(), Key{Name: "x"}, -time.Second)
	require.ErrorContains(t, err, "expire")
	_, _, err = store.Create(t.Context(), Key{Name: "x"}, 0)
	require.ErrorContains(t, err, "store the key", "Redis is away")
}

func TestKeysAreNamedByTheirIDsOrWhole(t *testing.T) {
	t.Parallel()
	text := Prefix + random(10) + "_" + random(20)
	id, err := IDOf(text)
	require.NoError(t, err)
	assert.Equal(t, text[3:19], id)
	again, err := IDOf(id)
	require.NoError(t, err)
	assert.Equal(t, id, again)
	for _, bad := range []string{"", "x", text[:len(text)-1], id + "a", strings.ToUpper(id)} {
		_, err := IDOf(bad)
		require.Error(t, err, bad)
		assert.NotContains(t, err.Error(), text[:len(text)-1], "it may be a secret")
	}
}

// FuzzParse checks that only a key parses, and that nothing panics.
func FuzzParse(f *testing.F) {
	f.Add(Prefix + "abcdefghijklmnop_abcdefghijklmnopabcdefghijklmnop")
	f.Add("mk__")
	f.Fuzz(func(t *testing.T, text string) {
		if id, secret, ok := parse(text); ok {
			assert.Equal(t, text, Prefix+id+"_"+secret)
			assert.Len(t, secret, secretLength)
		}
	})
}
