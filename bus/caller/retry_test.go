package caller

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

func TestRetryRepeatsASafeCallThatWasNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := &notSentError{Cause: errors.New("away")}
		tries := 0
		answer := func(errs ...error) func(context.Context, *Call) (wire.Reply, error) {
			tries = 0
			return func(_ context.Context, call *Call) (wire.Reply, error) {
				time.Sleep(10 * time.Millisecond) //nolint:forbidigo // the bubble's clock goes on by itself
				tries++
				assert.Greater(t, call.Timeout, time.Duration(0))
				if tries <= len(errs) {
					return wire.Reply{}, errs[tries-1]
				}
				return wire.Reply{Envelope: "answer"}, nil
			}
		}
		safe := &Call{Safe: true, Timeout: time.Second}

		reply, err := retry(t.Context(), safe, answer(away, away))
		require.NoError(t, err)
		assert.Equal(t, "answer", reply.Envelope)
		assert.Equal(t, 3, tries)

		_, err = retry(t.Context(), safe, answer(away, away, away, away))
		require.ErrorIs(t, err, ErrUnavailable)
		assert.Equal(t, maxTries, tries, "and no more")

		_, err = retry(t.Context(), safe, answer(ErrTimeout))
		require.ErrorIs(t, err, ErrTimeout)
		assert.Equal(t, 1, tries, "it was sent")

		_, err = retry(t.Context(), safe, answer(away, &OverloadedError{Service: "things"}))
		require.ErrorIs(t, err, ErrOverloaded)
		assert.Equal(t, 2, tries, "that is an answer")

		_, err = retry(t.Context(), &Call{Timeout: time.Second}, answer(away))
		require.ErrorIs(t, err, ErrUnavailable)
		assert.Equal(t, 1, tries, "the caller decides")

		_, err = retry(t.Context(), safe, func(ctx context.Context, call *Call) (wire.Reply, error) {
			time.Sleep(500 * time.Millisecond) //nolint:forbidigo // see above
			return answer(away)(ctx, call)
		})
		require.ErrorIs(t, err, ErrUnavailable)
		assert.Equal(t, 1, tries, "it has waited for Redis already")

		began := time.Now()
		_, err = retry(t.Context(), &Call{Safe: true, Timeout: 11 * time.Millisecond}, answer(away, away, away))
		require.ErrorIs(t, err, ErrUnavailable)
		assert.Less(t, time.Since(began), 40*time.Millisecond, "within its deadline")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = retry(ctx, safe, answer(away, away, away))
		require.ErrorIs(t, err, ErrUnavailable)
		assert.Equal(t, 1, tries, "the caller has gone")
	})
}
