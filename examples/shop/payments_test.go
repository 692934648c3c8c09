package shop

import (
	"math"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func paymentsOf(rdb *redis.Client) paymentHandlers {
	return newPaymentHandlers(newPaymentStore(rdb, "test"))
}

func TestPayThroughEachProvider(t *testing.T) {
	t.Parallel()
	payments := paymentsOf(seeded(t))
	seen := map[string]bool{}
	for _, gateway := range []string{"A", "B", "C"} {
		made, err := payments.pay(request(t, "pay-"+gateway), NewPayment{
			UserID: 1, ItemID: 1, Voucher: "NO_SUCH_VOUCHER", Gateway: gateway, Amount: math.MaxInt64,
		})
		require.NoError(t, err)
		require.Equal(t, "NO_SUCH_VOUCHER", made.Voucher, "recorded, not judged")
		require.Equal(t, int64(math.MaxInt64), made.Amount)
		require.False(t, seen[made.Reference])
		seen[made.Reference] = true

		got, err := payments.store.get(t.Context(), made.ID)
		require.NoError(t, err)
		require.Equal(t, made, got)
	}
}

func TestPayOnceForEachRequest(t *testing.T) {
	t.Parallel()
	payments := paymentsOf(seeded(t))
	in := NewPayment{UserID: 1, ItemID: 1, Gateway: "B", Amount: 1999}

	first, err := payments.pay(request(t, "r1"), in)
	require.NoError(t, err)
	again, err := payments.pay(request(t, "r1"), in)
	require.NoError(t, err)
	require.Equal(t, first, again)
	other, err := payments.pay(request(t, "r2"), in)
	require.NoError(t, err)
	require.NotEqual(t, first.ID, other.ID)
	require.NotEqual(t, first.Reference, other.Reference)

	list, err := payments.list(request(t, "r3"), PaymentQuery{UserID: 1})
	require.NoError(t, err)
	require.Equal(t, []Payment{other, first}, list.Payments)
}

func TestPayNamesEveryFault(t *testing.T) {
	t.Parallel()
	payments := paymentsOf(seeded(t))
	_, err := payments.pay(request(t, "r1"), NewPayment{})
	requireFaults(t, err, "user_id", "item_id", "gateway", "amount")
	_, err = payments.pay(request(t, "r2"), NewPayment{UserID: 1, ItemID: 1, Gateway: "a", Amount: 1})
	requireFaults(t, err, "gateway")
}

func TestGetPaymentUnknown(t *testing.T) {
	t.Parallel()
	_, err := paymentsOf(seeded(t)).store.get(t.Context(), 1)
	requireRefused(t, err, "NOT_FOUND", 404)
}

func TestListPaymentsOfOneUser(t *testing.T) {
	t.Parallel()
	payments := paymentsOf(seeded(t))
	for i := range maxList + 1 {
		_, err := payments.store.create(request(t, strconv.Itoa(i)), NewPayment{UserID: 1}, "reference")
		require.NoError(t, err)
	}
	mine, err := payments.list(request(t, "r1"), PaymentQuery{UserID: 1})
	require.NoError(t, err)
	require.Len(t, mine.Payments, maxList)
	require.Equal(t, int64(maxList+1), mine.Payments[0].ID, "the latest first")

	nobodys, err := payments.list(request(t, "r2"), PaymentQuery{UserID: 2})
	require.NoError(t, err)
	require.Equal(t, PaymentList{Payments: []Payment{}}, nobodys)
}
