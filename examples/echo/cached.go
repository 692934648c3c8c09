package echo

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// runs counts how often CACHED ran, for each id: in Redis, so that it is all workers' count.
type runs struct {
	rdb    redis.UniversalClient
	prefix string
}

// Pause says how long CACHED waits.
type Pause struct {
	MS int64 `json:"ms,omitempty" jsonschema:"milliseconds, 0 to 600000"`
}

// Counted is what CACHED answers.
type Counted struct {
	ID   int64 `json:"id"`
	Runs int64 `json:"runs" jsonschema:"how often the handler ever ran for this id"`
}

func (r runs) cached(ctx context.Context, id int64, pause Pause) (Counted, error) {
	n, err := r.rdb.Incr(ctx, r.prefix+strconv.FormatInt(id, 10)).Result()
	if err != nil {
		return Counted{}, err
	}
	return Counted{ID: id, Runs: n}, wait(ctx, pause.MS)
}

// Touched is what TOUCH answers.
type Touched struct {
	ID int64 `json:"id"`
}

// touch changes nothing: that it declares what it invalidates is enough.
func (runs) touch(_ context.Context, id int64) (Touched, error) { return Touched{ID: id}, nil }
