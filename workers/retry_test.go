package workers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRetryUntilTheStoreAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		tries := 0
		result, err := Retry(t.Context(), func() (int, error) {
			if tries++; tries < 4 {
				return 0, errors.New("no answer")
			}
			return 42, nil
		})
		require.NoError(t, err)
		require.Equal(t, 42, result)
		require.Equal(t, 70*time.Millisecond, time.Since(began), "10, 20 and 40 ms between four tries")
	})
}

func TestRetryReturnsARefusal(t *testing.T) {
	t.Parallel()
	tries := 0
	_, err := Retry(t.Context(), func() (int, error) {
		tries++
		return 0, NotFound("nothing there")
	})
	require.Equal(t, NotFound("nothing there"), err)
	require.Equal(t, 1, tries)
}

func TestRetryEndsAtTheDeadlineWithoutAnOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		noAnswer := errors.New("no answer")
		tries := 0
		_, err := Retry(ctx, func() (int, error) {
			tries++
			return 0, noAnswer
		})
		require.Equal(t, NoOutcome(noAnswer), err)
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, 16, tries, "the wait doubles up to a second")
	})
}

func TestRetryEndsAtOnceWhenCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	noAnswer := errors.New("no answer")
	_, err := Retry(ctx, func() (int, error) {
		cancel()
		return 0, noAnswer
	})
	require.Equal(t, NoOutcome(noAnswer), err)
}
