package shop

// Voucher is valid for one payment.
type Voucher struct {
	Code      string `json:"code"                 redis:"code"`
	Used      bool   `json:"used"                 redis:"used"`
	PaymentID int64  `json:"payment_id,omitempty" redis:"payment_id" description:"the payment for which it was redeemed"`
}

// Unused reports that a voucher can still be redeemed.
type Unused struct {
	Code   string `json:"code"`
	Unused bool   `json:"unused"`
}

// Redemption is the argument of REDEEM_VOUCHER.
type Redemption struct {
	PaymentID int64 `json:"payment_id"`
}
