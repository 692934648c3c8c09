package bus

import (
	"context"
	"fmt"
)

// Stats are the numbers of a service's mailbox.
type Stats struct {
	// Backlog is how many requests no worker has read yet.
	Backlog int64 `json:"backlog"`
	// Pending is how many requests workers have read and not ended.
	Pending int64 `json:"pending"`
	// Dead is how many dead letters there are.
	Dead int64 `json:"dead"`
}

// Stats reads the numbers of a service (XLEN, XPENDING).
func (c *Conn) Stats(ctx context.Context, service string) (Stats, error) {
	mailbox := c.Keys.Requests(service)
	pipe := c.rdb.Pipeline()
	length := pipe.XLen(ctx, mailbox)
	dead := pipe.XLen(ctx, c.Keys.Dead(service))
	pending := pipe.XPending(ctx, mailbox, Group)
	if _, err := pipe.Exec(ctx); err != nil && !isNoGroup(pending.Err()) {
		return Stats{}, fmt.Errorf("read the mailbox of %s: %w", service, err)
	}
	s := Stats{Dead: dead.Val()}
	if p := pending.Val(); p != nil {
		s.Pending = p.Count
	}
	s.Backlog = max(0, length.Val()-s.Pending)
	return s, nil
}
