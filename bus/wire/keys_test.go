package wire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestKeyBytes(t *testing.T) {
	t.Parallel()
	k, err := NewKeys("mailroom")
	require.NoError(t, err)
	testsupport.Golden(t, "../testdata/keys.golden", strings.Join([]string{
		k.Requests("users"), k.Record("users", goldenID), k.Dead("users"), k.Lane("users", "user:2"), k.Waiting("users"), k.Manifest("users", "d1"), k.Workers("users"),
		k.Services(), k.Registry(), k.Replies("api.x", "users"), k.Ping("api.x"), "",
	}, "\n"))
	for _, bad := range []string{"", "a b", "a:b", "{a}", "*", strings.Repeat("x", 65)} {
		_, err := NewKeys(bad)
		require.Error(t, err, bad)
	}
}

func TestOnlyOwnReplyChannels(t *testing.T) {
	t.Parallel()
	k, err := NewKeys("ns")
	require.NoError(t, err)
	assert.True(t, k.MayReply("users", "ns:replies:api.x:{users}"))
	for _, foreign := range []string{
		"", "ns:registry", "ns:replies:api.x:{items}", "other:replies:api.x:{users}", "ns:replies:api.x:beat", "ns:replies::{users}"[:11],
	} {
		assert.False(t, k.MayReply("users", foreign), foreign)
	}
}
