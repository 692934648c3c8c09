package echo

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// runs counts the runs of CACHED for each id. The count is in Redis, and all workers share it.
type runs struct {
	rdb    redis.Cmdable
	prefix string
}

// Pause is the time that CACHED waits.
type Pause struct {
	MS int64 `json:"ms,omitempty" description:"milliseconds, 0 to 600000"`
}

// Counted is the result of CACHED.
type Counted struct {
	ID   int64 `json:"id"`
	Runs int64 `json:"runs" description:"number of runs of the handler for this id"`
}

func (r runs) cached(ctx context.Context, id int64, pause Pause) (Counted, error) {
	n, err := r.rdb.Incr(ctx, r.prefix+strconv.FormatInt(id, 10)).Result()
	if err != nil {
		return Counted{}, err
	}
	return Counted{ID: id, Runs: n}, wait(ctx, pause.MS)
}

// Touched is the result of TOUCH.
type Touched struct {
	ID int64 `json:"id"`
}

// touch changes nothing: the option Invalidates of its action does the work.
func (runs) touch(_ context.Context, id int64) (Touched, error) { return Touched{ID: id}, nil }
