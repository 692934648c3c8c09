package shop

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

// itemStore stores the items, and their ids in the sorted set "ids".
type itemStore struct{ records }

func newItemStore(rdb redis.Cmdable, namespace string) itemStore {
	return itemStore{records: newRecords(rdb, namespace, "items")}
}

func (s itemStore) seed(ctx context.Context) error {
	return s.seedOnce(ctx, func(p redis.Pipeliner) {
		for _, item := range []Item{
			{ID: 1, Name: "Desk lamp", Stock: 1000},
			{ID: 2, Name: "Signed first edition", Stock: 0},
		} {
			p.HSet(ctx, s.record(item.ID), item)
			p.ZAdd(ctx, s.key("ids"), redis.Z{Score: float64(item.ID), Member: item.ID})
		}
	})
}

func (s itemStore) get(ctx context.Context, id int64) (Item, error) {
	return workers.Retry(ctx, func() (Item, error) {
		return read[Item](ctx, s.rdb, s.record(id), errNoItem(id))
	})
}

func (s itemStore) list(ctx context.Context) (ItemList, error) {
	return workers.Retry(ctx, func() (ItemList, error) {
		ids, err := s.rdb.ZRange(ctx, s.key("ids"), 0, -1).Result()
		if err != nil {
			return ItemList{}, err
		}
		items, err := readAll[Item](ctx, s.records, ids)
		return ItemList{Items: items}, err
	})
}

// reserve takes quantity from the stock of an item, which never falls below zero. The lane of the action runs the requests
// for one item one at a time. The transaction makes each reservation only once, even if two workers run the same request.
func (s itemStore) reserve(ctx context.Context, id, quantity int64) (Reservation, error) {
	return workers.Retry(ctx, func() (Reservation, error) {
		record, memory := s.record(id), s.memory(ctx)
		var left int64
		err := s.transact(ctx, func(tx *redis.Tx) error {
			var err error
			if left, err = tx.Get(ctx, memory).Int64(); !errors.Is(err, redis.Nil) {
				return err // or it was reserved before
			}
			item, err := read[Item](ctx, tx, record, errNoItem(id))
			if err != nil {
				return err
			}
			if left = item.Stock - quantity; left < 0 {
				return errUnavailable(id)
			}
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.HSet(ctx, record, "stock", left)
				p.Set(ctx, memory, left, rememberFor)
				return nil
			})
			return err
		}, record, memory)
		return Reservation{ID: id, Reserved: quantity, Stock: left}, err
	})
}

func errNoItem(id int64) error {
	return workers.NotFound(fmt.Sprintf("item %d does not exist", id))
}
