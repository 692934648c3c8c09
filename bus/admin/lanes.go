package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
)

// Lane is one lane of a service in which requests wait for their turn.
type Lane struct {
	// Key is the name of the lane, such as item:7.
	Key string `json:"key"`
	// Turn is the ID of the request that is in the mailbox or runs; empty if there are
	// several.
	Turn string `json:"turn"`
	// Waiting is the number of requests behind it.
	Waiting int64 `json:"waiting"`
}

// background reports whether these are the requests of a principal without a deadline, of which
// several have their turn at once.
func (l *Lane) background() bool {
	return strings.HasPrefix(l.Key, "~") && !strings.Contains(l.Key, ".")
}

// Lanes lists the lanes of a service in which requests wait, the longest first
// (HGETALL, LINDEX).
func Lanes(ctx context.Context, c *bus.Conn, service string) ([]Lane, error) {
	counts, err := c.Redis().HGetAll(ctx, c.Keys.Waiting(service)).Result()
	if err != nil {
		return nil, fmt.Errorf("list the lanes of %s: %w", service, err)
	}
	lanes := []Lane{}
	for key, count := range counts {
		if waiting, _ := strconv.ParseInt(count, 10, 64); key != "" && waiting > 0 {
			lanes = append(lanes, Lane{Key: key, Waiting: waiting})
		}
	}
	slices.SortFunc(lanes, func(a, b Lane) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Key, b.Key))
	})
	pipe := c.Redis().Pipeline()
	turns := make([]*redis.StringCmd, len(lanes))
	for i := range lanes {
		if lanes[i].background() {
			turns[i] = redis.NewStringCmd(ctx)
			continue
		}
		turns[i] = pipe.LIndex(ctx, c.Keys.Lane(service, lanes[i].Key), 0)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("list the lanes of %s: %w", service, err)
	}
	for i := range lanes {
		lanes[i].Turn = turns[i].Val() // empty if the lane has just become idle
	}
	return lanes, nil
}
