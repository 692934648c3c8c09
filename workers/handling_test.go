package workers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHandlingIsAContextLikeAnyOther(t *testing.T) {
	t.Parallel()
	errTaken := errors.New("taken")
	synctest.Test(t, func(t *testing.T) {
		parent, take := context.WithCancelCause(t.Context())
		begin := func() *handling {
			return &handling{Context: parent, deadline: time.Now().Add(time.Second), state: state{info: Info{RequestID: "r1"}}}
		}
		// Its time comes, for what is derived from it too.
		h := begin()
		derived, cancel := context.WithCancel(h)
		defer cancel()
		assert.Equal(t, "r1", RequestID(derived))
		deadline, ok := derived.Deadline()
		require.True(t, ok)
		assert.Equal(t, h.deadline, deadline)
		require.NoError(t, h.Err())
		<-derived.Done()
		require.ErrorIs(t, derived.Err(), context.DeadlineExceeded)
		require.ErrorIs(t, h.Err(), context.DeadlineExceeded)
		assert.Equal(t, deadline, time.Now())

		// Nobody asked while it ran, and somebody has kept it.
		h = begin()
		h.end()
		require.ErrorIs(t, h.Err(), context.Canceled)
		<-h.Done()

		// The parent ends with a cause.
		h = begin()
		asked := h.Done()
		take(errTaken)
		<-asked
		require.ErrorIs(t, context.Cause(h), errTaken)
		h.end()
	})
}
