package shop

import (
	"context"
	"fmt"
	"net/http"

	"github.com/oskadev/mailroom/workers"
)

// Items makes the service that knows what is for sale and how much of it is left.
func (s *Shop) Items() *workers.Service {
	items := workers.NewService("items", workers.WithVersion(version))
	h := itemHandlers{newItemStore(s.rdb, s.namespace)}

	workers.Handle1(items, "GET_ITEM", h.store.get,
		workers.Route("GET /items/:id"), workers.Summary("One item"))
	workers.Handle0(items, "LIST_ITEMS", h.store.list,
		workers.Route("GET /items"), workers.Summary("All items by id"))
	workers.Handle2(items, "CHECK_AVAILABLE", h.checkAvailable,
		workers.Route("GET /items/:id/available"), workers.Summary("Whether there is enough of an item; 409 when not"))
	workers.Handle2(items, "RESERVE_ITEM", h.reserve,
		workers.Route("POST /items/:id/reserve"), workers.Lane("item:{0}"), workers.Scope("items:write"),
		workers.Summary("Takes some of an item from the stock"))
	return items
}

// itemHandlers are the actions that do more than ask the store.
type itemHandlers struct {
	store itemStore
}

func (h itemHandlers) checkAvailable(ctx context.Context, id int64, wanted Wanted) (Available, error) {
	quantity, err := wanted.quantity()
	if err != nil {
		return Available{}, err
	}
	item, err := h.store.get(ctx, id)
	if err != nil {
		return Available{}, err
	}
	if item.Stock < quantity {
		return Available{}, errUnavailable(id)
	}
	return Available{ID: id, Available: true, Stock: item.Stock}, nil
}

func (h itemHandlers) reserve(ctx context.Context, id int64, wanted Wanted) (Reservation, error) {
	quantity, err := wanted.quantity()
	if err != nil {
		return Reservation{}, err
	}
	return h.store.reserve(ctx, id, quantity)
}

// quantity is 1 unless the client said another.
func (w Wanted) quantity() (int64, error) {
	if w.Quantity == nil {
		return 1, nil
	}
	var f form
	f.require(*w.Quantity >= 1, "quantity", "must be at least 1")
	return *w.Quantity, f.err()
}

func errUnavailable(id int64) error {
	return workers.Fail("ITEM_UNAVAILABLE", http.StatusConflict, fmt.Sprintf("there is not enough of item %d", id))
}
