package consumer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/resp"
)

// reclaimPage is how many idle entries are looked at in one command.
const reclaimPage = 100

// reclaim takes requests that have been without a sign of life for the idle
// limit: their workers are dead, frozen or cut off, or gave no outcome. It
// takes only what can run at once.
func (c *Consumer) reclaim(ctx, working context.Context, p *resp.Pipeline, free int) error {
	start := "-"
	for free > 0 {
		idle, err := c.conn.Redis().XPendingExt(ctx, &redis.XPendingExtArgs{
			Stream: c.mailbox, Group: wire.Group, Idle: c.cfg.IdleLimit, Start: start, End: "+", Count: reclaimPage,
		}).Result()
		if err != nil || len(idle) == 0 {
			return err
		}
		start = wire.NextEntryID(idle[len(idle)-1].ID)
		// What hangs here, and is not kept any more, is not mine to take.
		others := slices.DeleteFunc(idle, func(p redis.XPendingExt) bool { return c.isRunning(p.ID) })
		others = others[:min(len(others), free)]
		taken, err := c.claim(ctx, working, p, others)
		if err != nil {
			return err
		}
		free -= taken
		if len(idle) < reclaimPage {
			break
		}
	}
	return nil
}

// claim takes idle entries (XCLAIM). Each goes only to the first who asks: it
// is no longer idle then.
func (c *Consumer) claim(ctx, working context.Context, conns *resp.Pipeline, idle []redis.XPendingExt) (int, error) {
	if len(idle) == 0 {
		return 0, nil
	}
	deliveries := make(map[string]int64, len(idle))
	command := []string{"xclaim", c.mailbox, wire.Group, c.worker, strconv.FormatInt(c.cfg.IdleLimit.Milliseconds(), 10)}
	for _, p := range idle {
		deliveries[p.ID] = p.RetryCount
		command = append(command, p.ID)
	}
	asked := time.Now()
	batch, err := c.fetchEntries(ctx, conns, command...)
	if err != nil {
		return 0, err
	}
	for _, d := range batch {
		d.Attempt, d.owned = int(deliveries[d.Entry])+1, asked
		delete(deliveries, d.Entry)
		c.conn.Log().InfoContext(ctx, "took over a request", "service", c.service, "worker", c.worker,
			"request", d.Request.ID, "attempt", d.Attempt)
	}
	c.start(working, batch)
	c.pool.add(batch)
	return len(batch), c.dropDeleted(ctx, deliveries)
}

// dropDeleted acknowledges entries that somebody deleted by hand while they
// were pending: Redis does so itself when they are claimed, other servers keep
// them. It is an alarm: their requests are lost. Most that were not claimed are
// just another worker's by now, or have been settled.
func (c *Consumer) dropDeleted(ctx context.Context, unclaimed map[string]int64) error {
	for entry := range unclaimed {
		pipe := c.conn.Redis().Pipeline()
		found := pipe.XRange(ctx, c.mailbox, entry, entry)
		pending := pipe.XPendingExt(ctx, &redis.XPendingExtArgs{
			Stream: c.mailbox, Group: wire.Group, Start: entry, End: entry, Count: 1,
		})
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		if len(found.Val()) == 0 && len(pending.Val()) > 0 {
			c.conn.Log().ErrorContext(ctx, "a pending entry was deleted from the mailbox: its request is lost",
				"service", c.service, "entry", entry)
			if err := c.conn.Redis().XAck(ctx, c.mailbox, wire.Group, entry).Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// recoverOwn fetches entries that were given to this worker by a read whose
// answer was lost: pending, mine, neither running nor left without an outcome.
// What was left and is not mine any more is forgotten.
func (c *Consumer) recoverOwn(ctx, working context.Context, conns *resp.Pipeline, free int) error {
	before := c.leftNow()
	start := "-"
	for {
		const page = 100
		asked := time.Now()
		pending, err := c.conn.Redis().XPendingExt(ctx, &redis.XPendingExtArgs{
			Stream: c.mailbox, Group: wire.Group, Start: start, End: "+", Count: page, Consumer: c.worker,
		}).Result()
		if err != nil {
			return err
		}
		for _, p := range pending {
			start = wire.NextEntryID(p.ID)
			switch {
			case c.isRunning(p.ID):
			case c.isLeft(p.ID):
				delete(before, p.ID) // still pending
			case free == 0:
				return errMoreOwn
			default:
				if err := c.fetchOwn(ctx, working, conns, p, asked.Add(-p.Idle)); err != nil {
					return err
				}
				free--
			}
		}
		if len(pending) < page {
			c.forgetLeft(before)
			return nil
		}
	}
}

// errMoreOwn: there are more own entries than slots were free.
var errMoreOwn = errors.New("more entries to recover")

// fetchOwn starts an entry that was delivered then, and has not begun.
func (c *Consumer) fetchOwn(ctx, working context.Context, conns *resp.Pipeline, p redis.XPendingExt, delivered time.Time) error {
	batch, err := c.fetchEntries(ctx, conns, "xrange", c.mailbox, p.ID, p.ID)
	for _, d := range batch {
		d.Attempt, d.fresh, d.owned = int(p.RetryCount), p.RetryCount <= 1, delivered
	}
	c.start(working, batch)
	c.pool.add(batch)
	return err
}

func (c *Consumer) isRunning(entry string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.running[entry]
	return ok
}

// isLeft reports whether the entry has begun here and was left without an
// outcome: reclaiming is the way for it, as for everybody's.
func (c *Consumer) isLeft(entry string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left[entry]
}

func (c *Consumer) leftNow() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.left)
}

// forgetLeft forgets what was left and is not pending here any more.
func (c *Consumer) forgetLeft(gone map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for entry := range gone {
		delete(c.left, entry)
	}
}
