package shop

// Voucher is good for one payment.
type Voucher struct {
	Code      string `json:"code"                 redis:"code"`
	Used      bool   `json:"used"                 redis:"used"`
	PaymentID int64  `json:"payment_id,omitempty" redis:"payment_id" jsonschema:"the payment that it was redeemed for"`
}

// Unused says that a voucher can still be redeemed.
type Unused struct {
	Code   string `json:"code"`
	Unused bool   `json:"unused"`
}

// Redemption names the payment to redeem a voucher for.
type Redemption struct {
	PaymentID int64 `json:"payment_id"`
}
