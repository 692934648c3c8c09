package workers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/lazyctx"
)

func TestHandlingBehavesLikeAnyContext(t *testing.T) {
	t.Parallel()
	errTaken := errors.New("taken")
	synctest.Test(t, func(t *testing.T) {
		parent, take := context.WithCancelCause(t.Context())
		begin := func() *handling {
			return &handling{Context: lazyctx.WithDeadline(parent, time.Now().Add(time.Second)), state: state{info: Info{RequestID: "r1"}}}
		}
		// The deadline ends it, and contexts derived from it.
		h := begin()
		derived, cancel := context.WithCancel(h)
		defer cancel()
		assert.Equal(t, "r1", RequestID(derived))
		ends := time.Now().Add(time.Second)
		deadline, ok := derived.Deadline()
		require.True(t, ok)
		assert.Equal(t, ends, deadline)
		require.NoError(t, h.Err())
		<-derived.Done()
		require.ErrorIs(t, derived.Err(), context.DeadlineExceeded)
		require.ErrorIs(t, h.Err(), context.DeadlineExceeded)
		assert.Equal(t, deadline, time.Now())

		// Done is called for the first time after the end.
		h = begin()
		h.Cancel(nil)
		require.ErrorIs(t, h.Err(), context.Canceled)
		<-h.Done()

		// Its parent ends with a cause.
		h = begin()
		asked := h.Done()
		take(errTaken)
		<-asked
		require.ErrorIs(t, context.Cause(h), errTaken)
		h.Cancel(nil)
	})
}
