package route

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// A file is not read while it is being written.
func TestHalfWrittenVersionsAreLeftAlone(t *testing.T) {
	t.Parallel()
	v := &versionsFile{text: []byte("old")}
	for i, look := range []struct {
		text        string
		asked, take bool
	}{
		{text: "old"},
		{text: "ne"},
		{text: "new"},
		{text: "new", take: true},
		{text: "new"},
		{text: "bad"},
		{text: "new"},
		{text: "new"},
		{text: "other", asked: true, take: true},
		{text: "other", asked: true, take: true},
		{text: "other"},
	} {
		assert.Equal(t, look.take, v.take([]byte(look.text), look.asked), "look %d", i)
	}
}
