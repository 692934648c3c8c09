package cache

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Different lists of parts have different identities.
func FuzzIdentity(f *testing.F) {
	f.Add("ada", "GET_USER", "[7]", "ad", "aGET_USER", "[7]")
	f.Add("", "1:a", "", "1:a", "", "")
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g string) {
		same := a == d && b == e && c == g
		assert.Equal(t, same, Identity(a, b, c) == Identity(d, e, g))
		one, other := Query{Space: "s", Identity: Identity(a, b, c)}, Query{Space: "s", Identity: Identity(d, e, g)}
		assert.Equal(t, same, one.digest("") == other.digest(""))
		assert.NotEqual(t, one.digest("a"), one.digest("b"))
	})
}
