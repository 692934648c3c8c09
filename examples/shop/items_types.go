package shop

// Item is something that the shop sells.
type Item struct {
	ID    int64  `json:"id"    redis:"id"`
	Name  string `json:"name"  redis:"name"`
	Stock int64  `json:"stock" redis:"stock" jsonschema:"how many are left"`
}

// ItemList is everything that the shop sells.
type ItemList struct {
	Items []Item `json:"items"`
}

// Wanted says how many of an item are wanted.
type Wanted struct {
	Quantity *int64 `json:"quantity,omitempty" jsonschema:"at least 1; 1 unless given"`
}

// Available says that there is enough of an item.
type Available struct {
	ID        int64 `json:"id"`
	Available bool  `json:"available"`
	Stock     int64 `json:"stock"`
}

// Reservation is what was taken from the stock of an item.
type Reservation struct {
	ID       int64 `json:"id"       jsonschema:"the item"`
	Reserved int64 `json:"reserved" jsonschema:"how many were taken"`
	Stock    int64 `json:"stock"    jsonschema:"how many it left"`
}
