package template

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFill(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ template, args, want string }{
		{"users", `[]`, "users"},
		{"user:{0}", `[7]`, "user:7"},
		{"user:{0}", `["a b/ü"]`, "user:a%20b%2F%C3%BC"},
		{"{1}-{0}", `["x",{"a":[1]}]`, "%7B%22a%22%3A%5B1%5D%7D-x"},
		{"{0}", `[null]`, ""},
		{"{0}", `[true]`, "true"},
	} {
		got, err := Fill(c.template, c.args)
		require.NoError(t, err)
		assert.Equal(t, c.want, got)
	}
	for _, c := range [][2]string{{"{0}", `[]`}, {"{x}", `[1]`}, {"{0", `[1]`}, {"{-1}", `[1]`}, {"{0}", `{`}} {
		_, err := Fill(c[0], c[1])
		require.Error(t, err, c)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, Check("user:{0}:{1}", 2))
	for _, template := range []string{"", "two words", "a,b", "ü", "{2}", "{x}", "{", strings.Repeat("x", 129)} {
		require.Error(t, Check(template, 2), template)
	}
}

// What is filled with any arguments is one word, and says which argument it is of.
func FuzzFill(f *testing.F) {
	f.Add("7")
	f.Add("a b,\n{0}")
	f.Fuzz(func(t *testing.T, text string) {
		args, err := json.Marshal([]string{text})
		require.NoError(t, err)
		filled, err := Fill("user:{0}", string(args))
		require.NoError(t, err)
		assert.False(t, strings.ContainsAny(filled, " \n\t,{}"), filled)
		require.True(t, strings.HasPrefix(filled, "user:"))
	})
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"user:1": true, "user:": true, "user:a%20b": true, "user:1:2": false, "user": false, "users:1": false, "user:1 ": false,
	} {
		assert.Equal(t, want, Matches("user:{0}", name), name)
	}
	assert.True(t, Matches("users", "users"))
	assert.False(t, Matches("users", "users2"))
	assert.True(t, Matches("a:{0}:b:{1}", "a:b:b:b:b"[:7]))
	assert.False(t, Matches("a:{0}:b:{1}", "a:1:c:2"))
}
