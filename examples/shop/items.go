package shop

import (
	"context"
	"fmt"
	"net/http"

	"github.com/oskadev/mailroom/workers"
)

// Items returns the service of the items and their stock.
func (s *Shop) Items() *workers.Service {
	items := workers.NewService("items", workers.WithVersion(version))
	h := itemHandlers{newItemStore(s.rdb, s.namespace)}

	workers.Handle1(items, "GET_ITEM", h.store.get,
		workers.Route("GET /items/:id"), workers.Summary("Returns an item"))
	workers.Handle0(items, "LIST_ITEMS", h.store.list,
		workers.Route("GET /items"), workers.Summary("Lists all items by id"))
	workers.Handle2(items, "CHECK_AVAILABLE", h.checkAvailable,
		workers.Route("GET /items/:id/available"), workers.Summary("Checks the stock of an item; 409 if it is too small"))
	workers.Handle2(items, "RESERVE_ITEM", h.reserve,
		workers.Route("POST /items/:id/reserve"), workers.Lane("item:{0}"), workers.Scope("items:write"),
		workers.Summary("Takes a quantity of an item from the stock"))
	return items
}

// itemHandlers implements the actions that do more than call the store.
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

// quantity returns the wanted quantity, 1 by default.
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
