package shop

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/oskadev/mailroom/testsupport"
)

func TestSeededRecords(t *testing.T) {
	t.Parallel()
	rdb := seeded(t)

	users, err := newUserStore(rdb, "test").list(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Equal(t, UserPage{Users: []User{
		{ID: 1, Name: "Oska", Email: "oska@example.com", Status: "active"},
		{ID: 2, Name: "Robin", Email: "robin@example.com", Status: "suspended"},
	}}, users)

	items, err := newItemStore(rdb, "test").list(t.Context())
	require.NoError(t, err)
	require.Equal(t, ItemList{Items: []Item{
		{ID: 1, Name: "Desk lamp", Stock: 1000},
		{ID: 2, Name: "Signed first edition", Stock: 0},
	}}, items)

	vouchers := newVoucherStore(rdb, "test")
	unused, err := vouchers.get(t.Context(), "WELCOME10")
	require.NoError(t, err)
	require.Equal(t, Voucher{Code: "WELCOME10"}, unused)
	used, err := vouchers.get(t.Context(), "USED10")
	require.NoError(t, err)
	require.Equal(t, Voucher{Code: "USED10", Used: true}, used)
}

func TestSeedByManyAtOnce(t *testing.T) {
	t.Parallel()
	address := testsupport.Miniredis(t)
	var replicas errgroup.Group
	for range 8 {
		shop := New(connect(t, address), "test")
		replicas.Go(func() error { return shop.Seed(t.Context()) })
	}
	require.NoError(t, replicas.Wait())

	rdb := connect(t, address)
	count, err := newUserStore(rdb, "test").count(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(2), count.Count)
	created, err := newUserStore(rdb, "test").create(request(t, "r1"), User{Name: "Ada"})
	require.NoError(t, err)
	require.Equal(t, int64(3), created.ID, "a new user comes after the seeded ones")
}

func TestSeedAgainRestoresNothing(t *testing.T) {
	t.Parallel()
	rdb := seeded(t)
	_, err := newUserStore(rdb, "test").delete(request(t, "r1"), 1)
	require.NoError(t, err)
	_, err = newItemStore(rdb, "test").reserve(request(t, "r2"), 1, 10)
	require.NoError(t, err)

	require.NoError(t, New(rdb, "test").Seed(t.Context()))

	_, err = newUserStore(rdb, "test").get(t.Context(), 1)
	requireRefused(t, err, "NOT_FOUND", 404)
	item, err := newItemStore(rdb, "test").get(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, int64(990), item.Stock)
}

func TestSeedOneService(t *testing.T) {
	t.Parallel()
	rdb := connect(t, testsupport.Miniredis(t))
	require.NoError(t, New(rdb, "test").Seed(t.Context(), "items"))

	_, err := newItemStore(rdb, "test").get(t.Context(), 1)
	require.NoError(t, err)
	_, err = newUserStore(rdb, "test").get(t.Context(), 1)
	requireRefused(t, err, "NOT_FOUND", 404)
}

func TestSeedSaysWhatFailed(t *testing.T) {
	t.Parallel()
	proxy := faulty(t, testsupport.Miniredis(t))
	proxy.Refuse(true)
	err := New(connect(t, proxy.URL()), "test").Seed(t.Context(), "vouchers")
	require.ErrorContains(t, err, "seed the records of vouchers")
}

func TestSeedNeedsTransactions(t *testing.T) {
	t.Parallel()
	rdb := connect(t, testsupport.Miniredis(t))
	require.ErrorContains(t, New(rdb.Pipeline(), "test").Seed(t.Context()), "*redis.Pipeline has no transactions")
}
