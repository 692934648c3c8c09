package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// Stats are the statistics of a service's mailbox.
type Stats struct {
	// Backlog is the number of requests that no worker has read.
	Backlog int64 `json:"backlog"`
	// Pending is the number of requests that workers have read and not ended.
	Pending int64 `json:"pending"`
	// Waiting is the number of requests that wait in lanes.
	Waiting int64 `json:"parked"`
	// Dead is the number of dead letters.
	Dead int64 `json:"dead"`
}

// ReadStats reads the statistics of a service (XLEN, HGET, XPENDING).
func ReadStats(ctx context.Context, c *bus.Conn, service string) (Stats, error) {
	mailbox := c.Keys.Requests(service)
	pipe := c.Redis().Pipeline()
	length := pipe.XLen(ctx, mailbox)
	dead := pipe.XLen(ctx, c.Keys.Dead(service))
	waiting := pipe.HGet(ctx, c.Keys.Waiting(service), "")
	pending := pipe.XPending(ctx, mailbox, wire.Group)
	_, err := pipe.Exec(ctx)
	if errors.Is(err, redis.Nil) { // no request waits in a lane
		err = pending.Err()
	}
	if err != nil && !rediserr.IsNoGroup(pending.Err()) {
		return Stats{}, fmt.Errorf("read the mailbox of %s: %w", service, err)
	}
	s := Stats{Dead: dead.Val()}
	s.Waiting, _ = waiting.Int64() // 0 if there is none
	if p := pending.Val(); p != nil {
		s.Pending = p.Count
	}
	s.Backlog = max(0, length.Val()-s.Pending)
	return s, nil
}
