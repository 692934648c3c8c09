package shop

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

// maxList is the number of payments in a list.
const maxList = 100

// paymentStore stores the payments, and the ids of the payments of each user in a sorted set.
type paymentStore struct {
	records
}

func newPaymentStore(rdb redis.Cmdable, namespace string) paymentStore {
	return paymentStore{newRecords(rdb, namespace, "payments")}
}

func (s paymentStore) get(ctx context.Context, id int64) (Payment, error) {
	return workers.Retry(ctx, func() (Payment, error) {
		return read[Payment](ctx, s.rdb, s.record(id), errNoPayment(id))
	})
}

// list returns the latest payments of a user, the newest first.
func (s paymentStore) list(ctx context.Context, user int64) (PaymentList, error) {
	return workers.Retry(ctx, func() (PaymentList, error) {
		ids, err := s.rdb.ZRevRange(ctx, s.key(ofUser(user)), 0, maxList-1).Result()
		if err != nil {
			return PaymentList{}, err
		}
		payments, err := readAll[Payment](ctx, s.records, ids)
		return PaymentList{Payments: payments}, err
	})
}

// create records a payment.
func (s paymentStore) create(ctx context.Context, in NewPayment, reference string) (Payment, error) {
	return workers.Retry(ctx, func() (Payment, error) {
		id, err := s.insert(ctx, ofUser(in.UserID),
			"user_id", in.UserID, "item_id", in.ItemID, "voucher", in.Voucher,
			"gateway", in.Gateway, "amount", in.Amount, "reference", reference)
		return Payment{
			ID: id, UserID: in.UserID, ItemID: in.ItemID, Voucher: in.Voucher,
			Gateway: in.Gateway, Amount: in.Amount, Reference: reference,
		}, err
	})
}

// ofUser returns the key of the index of a user's payments.
func ofUser(user int64) string { return fmt.Sprintf("user:%d", user) }

func errNoPayment(id int64) error {
	return workers.NotFound(fmt.Sprintf("payment %d does not exist", id))
}
