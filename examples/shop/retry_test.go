package shop

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

func TestRetryUntilTheStoreAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		tries := 0
		result, err := retry(t.Context(), func() (int, error) {
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

func TestRetryTakesARefusalForAnAnswer(t *testing.T) {
	t.Parallel()
	tries := 0
	_, err := retry(t.Context(), func() (int, error) {
		tries++
		return 0, workers.NotFound("nothing there")
	})
	requireRefused(t, err, "NOT_FOUND", 404)
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
		_, err := retry(ctx, func() (int, error) {
			tries++
			return 0, noAnswer
		})
		require.Equal(t, workers.NoOutcome(noAnswer), err)
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, 16, tries, "the wait doubles up to a second")
	})
}

func TestRetryEndsAtOnceWhenCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	noAnswer := errors.New("no answer")
	_, err := retry(ctx, func() (int, error) {
		cancel()
		return 0, noAnswer
	})
	require.Equal(t, workers.NoOutcome(noAnswer), err)
}

// An answer lost on its way back is the case that the memory of a request is for: the reservation was made, the store
// seems silent, and the handler asks again.
func TestLostAnswerChangesNothingTwice(t *testing.T) {
	t.Parallel()
	address := testsupport.Miniredis(t)
	require.NoError(t, New(connect(t, address), "test").Seed(t.Context()))
	proxy := faulty(t, address)
	items := itemsOf(connect(t, proxy.URL()))
	_, err := items.reserve(request(t, "r1"), 1, Wanted{}) // from now on the server knows the script
	require.NoError(t, err)

	lost := proxy.DropNextReply("r2")
	reserved, err := items.reserve(request(t, "r2"), 1, Wanted{Quantity: new(int64(9))})
	require.NoError(t, err)
	<-lost
	require.Equal(t, Reservation{ID: 1, Reserved: 9, Stock: 990}, reserved)
	item, err := items.store.get(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, int64(990), item.Stock)
}

func TestSilentStoreLeavesTheRequestWithoutAnOutcome(t *testing.T) {
	t.Parallel()
	proxy := faulty(t, testsupport.Miniredis(t))
	proxy.Blackhole(true)
	users := usersOf(connect(t, proxy.URL()))
	ctx, cancel := context.WithTimeout(request(t, "r1"), 50*time.Millisecond)
	defer cancel()

	_, err := users.create(ctx, NewUser{Name: "Ada", Email: "ada@example.com"})
	require.Equal(t, workers.NoOutcome(errors.Unwrap(err)), err)
}
