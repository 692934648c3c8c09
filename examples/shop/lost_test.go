package shop

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// The store makes a reservation and its answer is lost. The handler repeats the call, and the store recognizes the request.
func TestLostAnswerChangesNothingTwice(t *testing.T) {
	t.Parallel()
	address := testsupport.Miniredis(t)
	require.NoError(t, New(connect(t, address), "test").Seed(t.Context()))
	proxy := faulty(t, address)
	items := itemsOf(connect(t, proxy.URL()))
	_, err := items.reserve(request(t, "r1"), 1, Wanted{}) // loads the script into the server
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
