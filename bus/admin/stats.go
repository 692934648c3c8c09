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

// Stats are the numbers of a service's mailbox.
type Stats struct {
	// Backlog is how many requests no worker has read yet.
	Backlog int64 `json:"backlog"`
	// Pending is how many requests workers have read and not ended.
	Pending int64 `json:"pending"`
	// Parked is how many requests wait for their turn in a lane.
	Parked int64 `json:"parked"`
	// Dead is how many dead letters there are.
	Dead int64 `json:"dead"`
}

// ReadStats reads the numbers of a service (XLEN, HGET, XPENDING).
func ReadStats(ctx context.Context, c *bus.Conn, service string) (Stats, error) {
	mailbox := c.Keys.Requests(service)
	pipe := c.Redis().Pipeline()
	length := pipe.XLen(ctx, mailbox)
	dead := pipe.XLen(ctx, c.Keys.Dead(service))
	parked := pipe.HGet(ctx, c.Keys.Waiting(service), "")
	pending := pipe.XPending(ctx, mailbox, wire.Group)
	_, err := pipe.Exec(ctx)
	if errors.Is(err, redis.Nil) { // nobody is parked
		err = pending.Err()
	}
	if err != nil && !rediserr.IsNoGroup(pending.Err()) {
		return Stats{}, fmt.Errorf("read the mailbox of %s: %w", service, err)
	}
	s := Stats{Dead: dead.Val()}
	s.Parked, _ = parked.Int64() // ours; 0 where there is none
	if p := pending.Val(); p != nil {
		s.Pending = p.Count
	}
	s.Backlog = max(0, length.Val()-s.Pending)
	return s, nil
}
