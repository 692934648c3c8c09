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
	Status string `json:"status" redis:"status" description:"active or suspended"`
}

// NewUser is the argument of CREATE_USER.
type NewUser struct {
	Name  string `json:"name"  example:"Ada"`
	Email string `json:"email" example:"ada@example.com"`
}

// UserPatch is the argument of UPDATE_USER: the fields to change.
type UserPatch struct {
	Name  *string `json:"name,omitempty"`
	Email *string `json:"email,omitempty"`
}

// UserQuery is the argument of LIST_USERS.
type UserQuery struct {
	Limit  *int   `json:"limit,omitempty"  description:"users per page, 1 to 100; defaults to 20"`
	Cursor string `json:"cursor,omitempty" description:"next_cursor of the previous page; none for the first page"`
}

// UserPage is one page of users, in the order of their ids.
type UserPage struct {
	Users      []User `json:"users"`
	NextCursor string `json:"next_cursor,omitempty" description:"cursor of the next page; none on the last page"`
}

// UserCount is the number of users.
type UserCount struct {
	Count int64 `json:"count"`
}

// Purchasable reports that a user may buy.
type Purchasable struct {
	ID          int64 `json:"id"`
	Purchasable bool  `json:"purchasable"`
}

// Deleted is the result of DELETE_USER.
type Deleted struct {
	ID      int64 `json:"id"`
	Deleted bool  `json:"deleted"`
}
