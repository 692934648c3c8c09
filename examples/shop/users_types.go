package shop

const (
	statusActive    = "active"
	statusSuspended = "suspended"
)

// User is a customer of the shop.
type User struct {
	ID     int64  `json:"id"     redis:"id"`
	Name   string `json:"name"   redis:"name"`
	Email  string `json:"email"  redis:"email"`
	Status string `json:"status" redis:"status" jsonschema:"active or suspended"`
}

// NewUser is what a user is made from.
type NewUser struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// UserPatch holds the fields of a user to change.
type UserPatch struct {
	Name  *string `json:"name,omitempty"`
	Email *string `json:"email,omitempty"`
}

// UserQuery asks for a page of users.
type UserQuery struct {
	Limit  *int   `json:"limit,omitempty"  jsonschema:"users a page, 1 to 100; 20 unless given"`
	Cursor string `json:"cursor,omitempty" jsonschema:"next_cursor of the page before; none for the first page"`
}

// UserPage is a part of the users, in the order of their ids.
type UserPage struct {
	Users      []User `json:"users"`
	NextCursor string `json:"next_cursor,omitempty" jsonschema:"where the next page begins; none on the last page"`
}

// UserCount is the number of users.
type UserCount struct {
	Count int64 `json:"count"`
}

// Purchasable says that a user may buy.
type Purchasable struct {
	ID          int64 `json:"id"`
	Purchasable bool  `json:"purchasable"`
}

// Deleted says that a record is gone.
type Deleted struct {
	ID      int64 `json:"id"`
	Deleted bool  `json:"deleted"`
}
