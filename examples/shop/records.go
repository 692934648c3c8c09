package shop

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

// rememberSeconds is how long a store remembers the requests that changed it: two days, since the outcome of a request
// is kept for one day at most and nobody sends it again after that.
const rememberSeconds = 2 * 24 * 60 * 60

//go:embed lua/create.lua
var createLua string

// records is what the stores have in common: the records of one service, each a hash in Redis, and the memory of the
// requests that changed them.
type records struct {
	rdb          redis.UniversalClient
	prefix       string
	createScript *redis.Script
}

func newRecords(rdb redis.UniversalClient, namespace, service string) records {
	return records{
		rdb: rdb,
		// The braces keep all keys of the service on one slot of a cluster, which scripts and transactions need.
		prefix:       namespace + ":{" + service + "}:shop:",
		createScript: redis.NewScript(createLua),
	}
}

func (r records) key(name string) string { return r.prefix + name }

// record names the hash of one record; id is its number or its code.
func (r records) record(id any) string { return r.prefix + "record:" + fmt.Sprint(id) }

// memory names the key that remembers what the request in ctx did here. The same request delivered again finds it.
func (r records) memory(ctx context.Context) string {
	return r.prefix + "request:" + workers.RequestID(ctx)
}

// insert writes a record under a new id and enters it in the index, once for each request, and returns the id. The
// request delivered again gets the id that it made the first time; the number drawn for it here is then never used.
func (r records) insert(ctx context.Context, index string, fields ...any) (int64, error) {
	id, err := r.rdb.Incr(ctx, r.key("last_id")).Result()
	if err != nil {
		return 0, err
	}
	keys := []string{r.record(id), r.key(index), r.memory(ctx)}
	args := append([]any{id, rememberSeconds}, fields...)
	return r.createScript.Run(ctx, r.rdb, keys, args...).Int64()
}

// seedOnce runs write in one transaction, unless that has happened before, here or in another process.
func (r records) seedOnce(ctx context.Context, write func(redis.Pipeliner)) error {
	marker := r.key("seeded")
	err := r.rdb.Watch(ctx, func(tx *redis.Tx) error {
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
		return nil // only another seeding touches the marker, and it was faster
	}
	return err
}

// read returns the record at key, or missing when there is none.
func read[R any](ctx context.Context, rdb redis.UniversalClient, key string, missing error) (R, error) {
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

// readAll returns the records with these ids in their order, without those that were deleted meanwhile.
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
