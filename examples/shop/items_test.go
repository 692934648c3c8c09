package shop

import (
	"errors"
	"math"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/oskadev/mailroom/workers"
)

func itemsOf(rdb *redis.Client) itemHandlers {
	return itemHandlers{newItemStore(rdb, "test")}
}

func TestCheckAvailable(t *testing.T) {
	t.Parallel()
	items := itemsOf(seeded(t))

	for _, wanted := range []Wanted{{}, {Quantity: new(int64(1000))}} {
		available, err := items.checkAvailable(request(t, "r1"), 1, wanted)
		require.NoError(t, err)
		require.Equal(t, Available{ID: 1, Available: true, Stock: 1000}, available)
	}
	_, err := items.checkAvailable(request(t, "r2"), 1, Wanted{Quantity: new(int64(1001))})
	requireRefused(t, err, "ITEM_UNAVAILABLE", 409)
	_, err = items.checkAvailable(request(t, "r3"), 2, Wanted{})
	requireRefused(t, err, "ITEM_UNAVAILABLE", 409)
	_, err = items.checkAvailable(request(t, "r4"), 9, Wanted{})
	requireRefused(t, err, "NOT_FOUND", 404)
	_, err = items.checkAvailable(request(t, "r5"), 1, Wanted{Quantity: new(int64(0))})
	requireFaults(t, err, "quantity")
}

func TestReserveItem(t *testing.T) {
	t.Parallel()
	items := itemsOf(seeded(t))

	one, err := items.reserve(request(t, "r1"), 1, Wanted{})
	require.NoError(t, err)
	require.Equal(t, Reservation{ID: 1, Reserved: 1, Stock: 999}, one)
	rest, err := items.reserve(request(t, "r2"), 1, Wanted{Quantity: new(int64(999))})
	require.NoError(t, err)
	require.Equal(t, Reservation{ID: 1, Reserved: 999, Stock: 0}, rest)

	_, err = items.reserve(request(t, "r3"), 1, Wanted{})
	requireRefused(t, err, "ITEM_UNAVAILABLE", 409)
	_, err = items.reserve(request(t, "r4"), 9, Wanted{})
	requireRefused(t, err, "NOT_FOUND", 404)
	for _, quantity := range []int64{0, -1, math.MinInt64} {
		_, err = items.reserve(request(t, "r5"), 1, Wanted{Quantity: new(quantity)})
		requireFaults(t, err, "quantity")
	}
}

func TestReserveNeverExceedsTheStock(t *testing.T) {
	t.Parallel()
	items := itemsOf(seeded(t))
	_, err := items.reserve(request(t, "r1"), 1, Wanted{Quantity: new(int64(math.MaxInt64))})
	requireRefused(t, err, "ITEM_UNAVAILABLE", 409)
	item, err := items.store.get(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, int64(1000), item.Stock)
}

func TestReserveItemOnceForEachRequest(t *testing.T) {
	t.Parallel()
	items := itemsOf(seeded(t))

	first, err := items.reserve(request(t, "r1"), 1, Wanted{Quantity: new(int64(1000))})
	require.NoError(t, err)
	again, err := items.reserve(request(t, "r1"), 1, Wanted{Quantity: new(int64(1000))})
	require.NoError(t, err)
	require.Equal(t, first, again, "though there would not be enough now")
}

func TestReserveByManyAtOnce(t *testing.T) {
	t.Parallel()
	rdb := seeded(t)
	items := itemsOf(rdb)
	require.NoError(t, rdb.HSet(t.Context(), items.store.record(3), Item{ID: 3, Name: "Mug", Stock: 100}).Err())

	var succeeded atomic.Int64
	var buyers errgroup.Group
	for i := range 300 {
		ctx := request(t, strconv.Itoa(i))
		buyers.Go(func() error {
			_, err := items.reserve(ctx, 3, Wanted{})
			if refused, ok := errors.AsType[*workers.Error](err); ok && refused.Code == "ITEM_UNAVAILABLE" {
				return nil
			}
			succeeded.Add(1)
			return err
		})
	}
	require.NoError(t, buyers.Wait())
	require.Equal(t, int64(100), succeeded.Load())
	item, err := items.store.get(t.Context(), 3)
	require.NoError(t, err)
	require.Zero(t, item.Stock)
}
