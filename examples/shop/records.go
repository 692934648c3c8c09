package shop

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

// rememberSeconds is the time for which a store remembers the requests that changed it: two days. A request is not repeated
// after one day, the longest time for which its outcome is stored.
const rememberSeconds = 2 * 24 * 60 * 60

//go:embed lua/create.lua
var createLua string

// records holds the records of one service, each a hash in Redis, and remembers the requests that changed them. All stores
// use it.
type records struct {
	rdb          redis.Cmdable
	prefix       string
	createScript *redis.Script
}

func newRecords(rdb redis.Cmdable, namespace, service string) records {
	return records{
		rdb: rdb,
		// Braces keep all keys of a service in one slot of a cluster, which scripts and transactions need.
		prefix:       namespace + ":{" + service + "}:shop:",
		createScript: redis.NewScript(createLua),
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
	keys := []string{r.record(id), r.key(index), r.memory(ctx)}
	args := append([]any{id, rememberSeconds}, fields...)
	return r.createScript.Run(ctx, r.rdb, keys, args...).Int64()
}

// seedOnce runs write in one transaction, unless this or another process did so before.
func (r records) seedOnce(ctx context.Context, write func(redis.Pipeliner)) error {
	rdb, ok := r.rdb.(redis.UniversalClient)
	if !ok {
		return fmt.Errorf("%T has no transactions: pass a redis.UniversalClient to New", r.rdb)
	}
	marker := r.key("seeded")
	err := rdb.Watch(ctx, func(tx *redis.Tx) error {
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
	if errors.Is(err, redis.TxFailedErr) {
		return nil // another process was faster: nothing else writes the marker
	}
	return err
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
