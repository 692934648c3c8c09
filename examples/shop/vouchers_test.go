package shop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckUnused(t *testing.T) {
	t.Parallel()
	vouchers := voucherHandlers{newVoucherStore(seeded(t), "test")}

	unused, err := vouchers.checkUnused(request(t, "r1"), "WELCOME10")
	require.NoError(t, err)
	require.Equal(t, Unused{Code: "WELCOME10", Unused: true}, unused)
	_, err = vouchers.checkUnused(request(t, "r2"), "USED10")
	requireRefused(t, err, "VOUCHER_USED", 409)
	_, err = vouchers.checkUnused(request(t, "r3"), "welcome10")
	requireRefused(t, err, "NOT_FOUND", 404)
}

func TestRedeemVoucherForOnePayment(t *testing.T) {
	t.Parallel()
	vouchers := voucherHandlers{newVoucherStore(seeded(t), "test")}

	for _, id := range []string{"r1", "r1", "r2"} { // again, by the same request and by another
		redeemed, err := vouchers.redeem(request(t, id), "WELCOME10", Redemption{PaymentID: 7})
		require.NoError(t, err)
		require.Equal(t, Voucher{Code: "WELCOME10", Used: true, PaymentID: 7}, redeemed)
	}
	_, err := vouchers.redeem(request(t, "r3"), "WELCOME10", Redemption{PaymentID: 8})
	requireRefused(t, err, "VOUCHER_USED", 409)
	got, err := vouchers.store.get(t.Context(), "WELCOME10")
	require.NoError(t, err)
	require.Equal(t, Voucher{Code: "WELCOME10", Used: true, PaymentID: 7}, got)
}

func TestRedeemVoucherRefused(t *testing.T) {
	t.Parallel()
	vouchers := voucherHandlers{newVoucherStore(seeded(t), "test")}

	_, err := vouchers.redeem(request(t, "r1"), "USED10", Redemption{PaymentID: 7})
	requireRefused(t, err, "VOUCHER_USED", 409)
	_, err = vouchers.redeem(request(t, "r2"), "NONE", Redemption{PaymentID: 7})
	requireRefused(t, err, "NOT_FOUND", 404)
	_, err = vouchers.redeem(request(t, "r3"), "WELCOME10", Redemption{})
	requireFaults(t, err, "payment_id")
}
