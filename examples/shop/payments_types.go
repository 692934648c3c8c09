package shop

// Payment is a recorded payment.
type Payment struct {
	ID        int64  `json:"id"                redis:"id"`
	UserID    int64  `json:"user_id"           redis:"user_id"`
	ItemID    int64  `json:"item_id"           redis:"item_id"`
	Voucher   string `json:"voucher,omitempty" redis:"voucher"`
	Gateway   string `json:"gateway"           redis:"gateway"   description:"the provider: A, B or C"`
	Amount    int64  `json:"amount"            redis:"amount"    description:"in cents"`
	Reference string `json:"reference"         redis:"reference" description:"the reference of the provider"`
}

// NewPayment is the argument of PAY.
type NewPayment struct {
	UserID  int64  `json:"user_id"`
	ItemID  int64  `json:"item_id"`
	Voucher string `json:"voucher,omitempty" description:"stored with the payment, not checked"`
	Gateway string `json:"gateway"           description:"the provider to pay through: A, B or C"`
	Amount  int64  `json:"amount"            description:"in cents, more than 0"`
}

// PaymentQuery is the argument of LIST_PAYMENTS.
type PaymentQuery struct {
	UserID int64 `json:"user_id"`
}

// PaymentList holds the latest payments of a user, up to 100, the newest first.
type PaymentList struct {
	Payments []Payment `json:"payments"`
}
