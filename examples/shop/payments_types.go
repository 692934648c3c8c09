package shop

// Payment is a payment that was made.
type Payment struct {
	ID        int64  `json:"id"                redis:"id"`
	UserID    int64  `json:"user_id"           redis:"user_id"`
	ItemID    int64  `json:"item_id"           redis:"item_id"`
	Voucher   string `json:"voucher,omitempty" redis:"voucher"`
	Gateway   string `json:"gateway"           redis:"gateway"   jsonschema:"the provider: A, B or C"`
	Amount    int64  `json:"amount"            redis:"amount"    jsonschema:"in cents"`
	Reference string `json:"reference"         redis:"reference" jsonschema:"what the provider calls the payment"`
}

// NewPayment is a payment to make.
type NewPayment struct {
	UserID  int64  `json:"user_id"`
	ItemID  int64  `json:"item_id"`
	Voucher string `json:"voucher,omitempty" jsonschema:"kept with the payment, not judged"`
	Gateway string `json:"gateway"           jsonschema:"the provider to pay through: A, B or C"`
	Amount  int64  `json:"amount"            jsonschema:"in cents, more than 0"`
}

// PaymentQuery asks for the payments of a user.
type PaymentQuery struct {
	UserID int64 `json:"user_id"`
}

// PaymentList holds the latest payments of a user, up to 100, the latest first.
type PaymentList struct {
	Payments []Payment `json:"payments"`
}
