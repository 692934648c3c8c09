package shop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

// rememberFor is the time for which a store remembers the requests that changed it: two days. A request is not repeated
// after one day, the longest time for which its outcome is stored.
const rememberFor = 2 * 24 * time.Hour

// records holds the records of one service, each a hash in Redis, and remembers the requests that changed them. All stores
// use it.
type records struct {
	rdb    redis.Cmdable
	prefix string
}

func newRecords(rdb redis.Cmdable, namespace, service string) records {
	return records{
		rdb: rdb,
		// Braces keep all keys of a service in one slot of a cluster, which transactions need.
		prefix: namespace + ":{" + service + "}:shop:",
	}
}

func (r records) key(name string) string { return r.prefix + name }

// record returns the key of one record; id is its number or its code.
func (r records) record(id any) string { return r.prefix + "record:" + fmt.Sprint(id) }

// memory returns the key that remembers the effect of the request in ctx.
func (r records) memory(ctx context.Context) string {
	return r.prefix + "request:" + workers.RequestID(ctx)
}

// insert writes a record under a new id, adds the id to the index, and returns it. A request that is delivered again gets
// the id of its first delivery, and the new id stays unused.
func (r records) insert(ctx context.Context, index string, fields ...any) (int64, error) {
	id, err := r.rdb.Incr(ctx, r.key("last_id")).Result()
	if err != nil {
		return 0, err
	}
	memory := r.memory(ctx)
	err = r.transact(ctx, func(tx *redis.Tx) error {
		made, err := tx.Get(ctx, memory).Int64()
		if err == nil {
			id = made
			return nil
		}
		if !errors.Is(err, redis.Nil) {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.HSet(ctx, r.record(id), append([]any{"id", id}, fields...)...)
			p.ZAdd(ctx, r.key(index), redis.Z{Score: float64(id), Member: id})
			p.Set(ctx, memory, id, rememberFor)
			return nil
		})
		return err
	}, memory)
	return id, err
}

// maxTries bounds the repetitions of a transaction.
const maxTries = 100

// transact runs do, which reads keys and then changes the store in one transaction (WATCH, MULTI, EXEC). It runs do again
// when another client has changed one of the keys in between.
func (r records) transact(ctx context.Context, do func(*redis.Tx) error, keys ...string) error {
	rdb, ok := r.rdb.(redis.UniversalClient)
	if !ok {
		return fmt.Errorf("%T has no transactions: pass a redis.UniversalClient to New", r.rdb)
	}
	err := rdb.Watch(ctx, do, keys...)
	for try := 1; errors.Is(err, redis.TxFailedErr) && try < maxTries; try++ {
		err = rdb.Watch(ctx, do, keys...)
	}
	return err
}

// seedOnce runs write in one transaction, unless this or another process did so before.
func (r records) seedOnce(ctx context.Context, write func(redis.Pipeliner)) error {
	marker := r.key("seeded")
	return r.transact(ctx, func(tx *redis.Tx) error {
		seeded, err := tx.Exists(ctx, marker).Result()
		if err != nil || seeded > 0 {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Set(ctx, marker, 1, 0)
			write(p)
			return nil
		})
		return err
	}, marker)
}

// read returns the record at key, or the error missing if there is none.
func read[R any](ctx context.Context, rdb redis.Cmdable, key string, missing error) (R, error) {
	var record R
	fields := rdb.HGetAll(ctx, key)
	if err := fields.Err(); err != nil {
		return record, err
	}
	if len(fields.Val()) == 0 {
		return record, missing
	}
	err := fields.Scan(&record)
	return record, err
}

// readAll returns the records with these ids, in their order. It omits records that were deleted meanwhile.
func readAll[R any](ctx context.Context, r records, ids []string) ([]R, error) {
	all := make([]*redis.MapStringStringCmd, len(ids))
	_, err := r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			all[i] = p.HGetAll(ctx, r.record(id))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	found := make([]R, 0, len(ids))
	for _, fields := range all {
		if len(fields.Val()) == 0 {
			continue
		}
		var record R
		if err := fields.Scan(&record); err != nil {
			return nil, err
		}
		found = append(found, record)
	}
	return found, nil
}
