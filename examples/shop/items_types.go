package shop

// Item is an item that the shop sells.
type Item struct {
	ID    int64  `json:"id"    redis:"id"`
	Name  string `json:"name"  redis:"name"`
	Stock int64  `json:"stock" redis:"stock" description:"quantity left"`
}

// ItemList lists all items.
type ItemList struct {
	Items []Item `json:"items"`
}

// Wanted is the wanted quantity of an item.
type Wanted struct {
	Quantity *int64 `json:"quantity,omitempty" description:"at least 1; defaults to 1"`
}

// Available reports that the stock of an item is large enough.
type Available struct {
	ID        int64 `json:"id"`
	Available bool  `json:"available"`
	Stock     int64 `json:"stock"`
}

// Reservation is the result of RESERVE_ITEM.
type Reservation struct {
	ID       int64 `json:"id"       description:"the item"`
	Reserved int64 `json:"reserved" description:"quantity taken"`
	Stock    int64 `json:"stock"    description:"quantity left"`
}
