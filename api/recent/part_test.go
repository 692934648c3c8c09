package recent

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Many ordinary requests do not push a failure out, and the latest stay.
func TestFailuresStay(t *testing.T) {
	t.Parallel()
	r, began := New(), time.Now()
	r.notable.add(Request{At: began, ID: "failed"})
	for i := range 3 * size {
		r.ordinary.add(Request{At: began.Add(time.Duration(i+1) * time.Millisecond)})
	}
	last := r.Last(2*size, func(*Request) bool { return true })
	assert.Len(t, last, size+1)
	assert.Equal(t, "failed", last[size].ID)
	assert.Equal(t, began.Add(3*size*time.Millisecond), last[0].At)
}
