package share_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/internal/share"
)

func TestShares(t *testing.T) {
	t.Parallel()
	s := share.New[string](4, 2)
	assert.Equal(t, share.Granted, s.Take("a"))
	assert.Equal(t, share.Granted, s.Take("a"))
	assert.Equal(t, share.OwnUsedUp, s.Take("a"))
	assert.Equal(t, share.Granted, s.Take(""))
	assert.Equal(t, share.Granted, s.Take("b"), "others have room")
	assert.Equal(t, share.NoneLeft, s.Take("b"))
	s.Give("a")
	assert.Equal(t, share.Granted, s.Take("a"))
	s.Give("")
	assert.Equal(t, share.Granted, s.Take(""))
	for _, holder := range []string{"a", "a", "b", ""} {
		s.Give(holder)
	}
	for range 4 {
		assert.Equal(t, share.Granted, s.Take(""), "the zero holder has no share of its own")
	}
	assert.Equal(t, share.NoneLeft, s.Take(""))
}
