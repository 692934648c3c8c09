package cache

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTag(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ template, args, want string }{
		{"users", `[]`, "users"},
		{"user:{0}", `[7]`, "user:7"},
		{"user:{0}", `["a b/ü"]`, "user:a%20b%2F%C3%BC"},
		{"{1}-{0}", `["x",{"a":[1]}]`, "%7B%22a%22%3A%5B1%5D%7D-x"},
		{"{0}", `[null]`, ""},
		{"{0}", `[true]`, "true"},
	} {
		got, err := Tag(c.template, c.args)
		require.NoError(t, err)
		assert.Equal(t, c.want, got)
	}
	for _, c := range [][2]string{{"{0}", `[]`}, {"{x}", `[1]`}, {"{0", `[1]`}, {"{-1}", `[1]`}, {"{0}", `{`}} {
		_, err := Tag(c[0], c[1])
		require.Error(t, err, c)
	}
}

func TestCheckTag(t *testing.T) {
	t.Parallel()
	require.NoError(t, CheckTag("user:{0}:{1}", 2))
	for _, template := range []string{"", "two words", "a,b", "ü", "{2}", "{x}", "{", strings.Repeat("x", 129)} {
		require.Error(t, CheckTag(template, 2), template)
	}
}

// Two lists of parts are the same identity only if they are the same.
func FuzzIdentity(f *testing.F) {
	f.Add("ada", "GET_USER", "[7]", "ad", "aGET_USER", "[7]")
	f.Add("", "1:a", "", "1:a", "", "")
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g string) {
		same := a == d && b == e && c == g
		assert.Equal(t, same, Identity(a, b, c) == Identity(d, e, g))
		one, other := Query{Space: "s", Identity: Identity(a, b, c)}, Query{Space: "s", Identity: Identity(d, e, g)}
		assert.Equal(t, same, one.digest() == other.digest())
	})
}

// A tag of any arguments is one word, and says which argument it is of.
func FuzzTag(f *testing.F) {
	f.Add("7")
	f.Add("a b,\n{0}")
	f.Fuzz(func(t *testing.T, text string) {
		args, err := json.Marshal([]string{text})
		require.NoError(t, err)
		tag, err := Tag("user:{0}", string(args))
		require.NoError(t, err)
		assert.False(t, strings.ContainsAny(tag, " \n\t,{}"), tag)
		require.True(t, strings.HasPrefix(tag, "user:"))
	})
}
