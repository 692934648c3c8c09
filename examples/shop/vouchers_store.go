package shop

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

//go:embed lua/redeem.lua
var redeemLua string

// voucherStore stores the vouchers, each under its code.
type voucherStore struct {
	records
	redeemScript *redis.Script
}

func newVoucherStore(rdb redis.Cmdable, namespace string) voucherStore {
	return voucherStore{
		records:      newRecords(rdb, namespace, "vouchers"),
		redeemScript: redis.NewScript(redeemLua),
	}
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
		redeemed, err := s.redeemScript.Run(ctx, s.rdb, []string{s.record(code)}, payment).Bool()
		switch {
		case errors.Is(err, redis.Nil):
			return Voucher{}, errNoVoucher(code)
		case err != nil:
			return Voucher{}, err
		case !redeemed:
			return Voucher{}, errVoucherUsed(code)
		}
		return Voucher{Code: code, Used: true, PaymentID: payment}, nil
	})
}

func errNoVoucher(code string) error {
	return workers.NotFound(fmt.Sprintf("voucher %s does not exist", code))
}
