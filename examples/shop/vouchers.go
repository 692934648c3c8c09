package shop

import (
	"context"
	"fmt"
	"net/http"

	"github.com/oskadev/mailroom/workers"
)

// Vouchers returns the service of the vouchers, each of which is valid for one payment.
func (s *Shop) Vouchers() *workers.Service {
	vouchers := workers.NewService("vouchers", workers.WithVersion(version))
	h := voucherHandlers{newVoucherStore(s.rdb, s.namespace)}

	workers.Handle1(vouchers, "GET_VOUCHER", h.store.get,
		workers.Route("GET /vouchers/:code"), workers.Summary("Returns a voucher"))
	workers.Handle1(vouchers, "CHECK_UNUSED", h.checkUnused,
		workers.Route("GET /vouchers/:code/unused"), workers.Summary("Checks whether a voucher is unused; 409 if not"))
	workers.Handle2(vouchers, "REDEEM_VOUCHER", h.redeem,
		workers.Route("POST /vouchers/:code/redeem"), workers.Scope("vouchers:write"), workers.Summary("Redeems a voucher for a payment"))
	return vouchers
}

// voucherHandlers implements the actions that do more than call the store.
type voucherHandlers struct {
	store voucherStore
}

func (h voucherHandlers) checkUnused(ctx context.Context, code string) (Unused, error) {
	voucher, err := h.store.get(ctx, code)
	if err != nil {
		return Unused{}, err
	}
	if voucher.Used {
		return Unused{}, errVoucherUsed(code)
	}
	return Unused{Code: code, Unused: true}, nil
}

func (h voucherHandlers) redeem(ctx context.Context, code string, in Redemption) (Voucher, error) {
	var f form
	f.require(in.PaymentID >= 1, "payment_id", "must be the id of a payment")
	if err := f.err(); err != nil {
		return Voucher{}, err
	}
	return h.store.redeem(ctx, code, in.PaymentID)
}

func errVoucherUsed(code string) error {
	return workers.Fail("VOUCHER_USED", http.StatusConflict, fmt.Sprintf("voucher %s is used", code))
}
