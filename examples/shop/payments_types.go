package shop

// Payment is a recorded payment.
type Payment struct {
	ID        int64  `json:"id"                redis:"id"`
	UserID    int64  `json:"user_id"           redis:"user_id"`
	ItemID    int64  `json:"item_id"           redis:"item_id"`
	Voucher   string `json:"voucher,omitempty" redis:"voucher"`
	Gateway   string `json:"gateway"           redis:"gateway"   jsonschema:"the provider: A, B or C"`
	Amount    int64  `json:"amount"            redis:"amount"    jsonschema:"in cents"`
	Reference string `json:"reference"         redis:"reference" jsonschema:"the reference of the provider"`
}

// NewPayment is the argument of PAY.
type NewPayment struct {
	UserID  int64  `json:"user_id"`
	ItemID  int64  `json:"item_id"`
	Voucher string `json:"voucher,omitempty" jsonschema:"stored with the payment, not checked"`
	Gateway string `json:"gateway"           jsonschema:"the provider to pay through: A, B or C"`
	Amount  int64  `json:"amount"            jsonschema:"in cents, more than 0"`
}

// PaymentQuery is the argument of LIST_PAYMENTS.
type PaymentQuery struct {
	UserID int64 `json:"user_id"`
}

// PaymentList holds the latest payments of a user, up to 100, the newest first.
type PaymentList struct {
	Payments []Payment `json:"payments"`
}
