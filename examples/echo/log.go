package echo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

// logs keeps a list of values for each id. It reads a list, appends a value, and writes the list back. Two requests that
// did so at the same time would lose one of the values; the lane of APPEND prevents that.
type logs struct {
	rdb    redis.Cmdable
	prefix string
}

// line is one value of a list, with the ID of its request. A request that is delivered again finds its value there.
type line struct {
	Request string          `json:"request"`
	Value   json.RawMessage `json:"value"`
}

// Entry is the value that APPEND adds.
type Entry struct {
	Value json.RawMessage `json:"value"        description:"any JSON"`
	MS    int64           `json:"ms,omitempty" description:"milliseconds to wait between reading and writing, 0 to 600000"`
}

// Length is the result of APPEND.
type Length struct {
	Length int `json:"length" description:"number of values in the list, up to this one"`
}

const maxLog = 10_000

func (l logs) append(ctx context.Context, id int64, in Entry) (Length, error) {
	return workers.Retry(ctx, func() (Length, error) {
		lines, err := l.read(ctx, id)
		if err != nil {
			return Length{}, err
		}
		for i := range lines {
			if lines[i].Request == workers.RequestID(ctx) {
				return Length{Length: i + 1}, nil
			}
		}
		if len(lines) >= maxLog {
			return Length{}, workers.Conflict(fmt.Sprintf("the list holds %d values already", maxLog))
		}
		if err := wait(ctx, in.MS); err != nil {
			return Length{}, err
		}
		text, err := json.Marshal(append(lines, line{Request: workers.RequestID(ctx), Value: in.Value}))
		if err != nil {
			return Length{}, err
		}
		return Length{Length: len(lines) + 1}, l.rdb.Set(ctx, l.key(id), text, 0).Err()
	})
}

func (l logs) log(ctx context.Context, id int64) ([]json.RawMessage, error) {
	lines, err := l.read(ctx, id)
	values := make([]json.RawMessage, len(lines))
	for i := range lines {
		values[i] = lines[i].Value
	}
	return values, err
}

func (l logs) read(ctx context.Context, id int64) ([]line, error) {
	text, err := l.rdb.Get(ctx, l.key(id)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lines []line
	return lines, json.Unmarshal(text, &lines)
}

func (l logs) key(id int64) string { return l.prefix + strconv.FormatInt(id, 10) }
