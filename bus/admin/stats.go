package admin

import (
	"context"
	"fmt"
	"strconv"
	"time"

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
	// Stored are the bytes that are charged for requests and outcomes, about; 0: none, or there
	// is no limit.
	Stored int64 `json:"stored_bytes"`
	// Oldest is the age of the oldest request that has not ended; 0: there is none.
	Oldest time.Duration `json:"-"`
}

// ReadStats reads the statistics of a service.
func ReadStats(ctx context.Context, c *bus.Conn, service string) (Stats, error) {
	all, err := ReadAllStats(ctx, c, []string{service})
	if err != nil {
		return Stats{}, err
	}
	return all[0], nil
}

// ReadAllStats reads the statistics of several services in one pipeline (XLEN, HGET,
// HMGET, XPENDING, XRANGE).
func ReadAllStats(ctx context.Context, c *bus.Conn, services []string) ([]Stats, error) {
	pipe := c.Redis().Pipeline()
	replies := make([]statsReplies, len(services))
	for i, service := range services {
		mailbox := c.Keys.Requests(service)
		replies[i] = statsReplies{
			length: pipe.XLen(ctx, mailbox), dead: pipe.XLen(ctx, c.Keys.Dead(service)),
			waiting: pipe.HGet(ctx, c.Keys.Waiting(service), ""), pending: pipe.XPending(ctx, mailbox, wire.Group),
			oldest: pipe.XRangeN(ctx, mailbox, "-", "+", 1), stored: pipe.HMGet(ctx, c.Keys.Stored(service), "bytes"),
		}
	}
	if len(services) > 0 {
		_, _ = pipe.Exec(ctx) // each reply has its own error
	}
	now := c.Clock.Millis()
	all := make([]Stats, len(services))
	for i, service := range services {
		var err error
		if all[i], err = replies[i].stats(now); err != nil {
			return nil, fmt.Errorf("read the mailbox of %s: %w", service, err)
		}
	}
	return all, nil
}

// statsReplies are the replies of Redis about one service.
type statsReplies struct {
	length, dead *redis.IntCmd
	waiting      *redis.StringCmd
	pending      *redis.XPendingCmd
	oldest       *redis.XMessageSliceCmd
	stored       *redis.SliceCmd
}

// stats returns the statistics at a time in ms of the Redis clock.
func (r *statsReplies) stats(now int64) (Stats, error) {
	for _, err := range []error{r.length.Err(), r.dead.Err(), r.pending.Err(), r.oldest.Err()} {
		if err != nil && !rediserr.IsNoGroup(err) {
			return Stats{}, err
		}
	}
	s := Stats{Dead: r.dead.Val()}
	s.Waiting, _ = r.waiting.Int64() // 0 if there is none
	if bytes := r.stored.Val(); len(bytes) == 1 {
		text, _ := bytes[0].(string)
		s.Stored, _ = strconv.ParseInt(text, 10, 64) // 0 if there is none
	}
	if p := r.pending.Val(); p != nil {
		s.Pending = p.Count
	}
	s.Backlog = max(0, r.length.Val()-s.Pending)
	if first := r.oldest.Val(); len(first) > 0 {
		s.Oldest = max(0, time.Duration(now-wire.EntryTime(first[0].ID))*time.Millisecond)
	}
	return s, nil
}
