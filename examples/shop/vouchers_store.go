package shop

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

// voucherStore stores the vouchers, each under its code.
type voucherStore struct{ records }

func newVoucherStore(rdb redis.Cmdable, namespace string) voucherStore {
	return voucherStore{records: newRecords(rdb, namespace, "vouchers")}
}

func (s voucherStore) seed(ctx context.Context) error {
	return s.seedOnce(ctx, func(p redis.Pipeliner) {
		p.HSet(ctx, s.record("WELCOME10"), Voucher{Code: "WELCOME10"})
		p.HSet(ctx, s.record("USED10"), Voucher{Code: "USED10", Used: true})
	})
}

func (s voucherStore) get(ctx context.Context, code string) (Voucher, error) {
	return workers.Retry(ctx, func() (Voucher, error) {
		return read[Voucher](ctx, s.rdb, s.record(code), errNoVoucher(code))
	})
}

// redeem redeems a voucher for a payment. A repetition for the same payment changes nothing.
func (s voucherStore) redeem(ctx context.Context, code string, payment int64) (Voucher, error) {
	return workers.Retry(ctx, func() (Voucher, error) {
		record, redeemed := s.record(code), Voucher{Code: code, Used: true, PaymentID: payment}
		err := s.transact(ctx, func(tx *redis.Tx) error {
			voucher, err := read[Voucher](ctx, tx, record, errNoVoucher(code))
			switch {
			case err != nil:
				return err
			case voucher.Used && voucher.PaymentID == payment:
				return nil
			case voucher.Used:
				return errVoucherUsed(code)
			}
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.HSet(ctx, record, redeemed).Err() })
			return err
		}, record)
		return redeemed, err
	})
}

func errNoVoucher(code string) error {
	return workers.NotFound(fmt.Sprintf("voucher %s does not exist", code))
}
