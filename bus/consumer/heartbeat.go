package consumer

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/rediserr"
)

// ManifestTTL is how long a manifest outlives the last worker that declared it.
const ManifestTTL = 24 * time.Hour

// deadWorkerTTL is how long a worker that died stays listed, expired, and how
// long its empty consumer stays in the group.
const deadWorkerTTL = time.Minute

// heartbeats says that this worker lives and what it serves, and keeps the
// requests that it is running, until the context ends.
func (c *Consumer) heartbeats(ctx context.Context) {
	presence := time.NewTicker(c.cfg.Heartbeat)
	defer presence.Stop()
	keep := time.NewTicker(c.cfg.IdleLimit / 3)
	defer keep.Stop()
	tidy := time.NewTicker(deadWorkerTTL)
	defer tidy.Stop()
	// At first too: where workers keep crashing, none lives long enough to tidy.
	c.retire(ctx, "", deadWorkerTTL)
	announced := time.Time{}
	for {
		if c.present(ctx, announced) {
			announced = time.Now()
		}
		for again := true; again; {
			select {
			case <-presence.C:
				again = false
			case <-keep.C:
				c.keep(ctx)
			case <-tidy.C:
				c.retire(ctx, "", deadWorkerTTL)
			case <-ctx.Done():
				return
			}
		}
	}
}

// present writes one heartbeat. The manifest, and the hint for gateways, are
// written at first and once an hour, and whenever Redis has lost them. It
// reports whether it wrote them.
func (c *Consumer) present(ctx context.Context, announced time.Time) bool {
	c.presence.Lock()
	defer c.presence.Unlock()
	if c.leaving {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	canonical, digest, err := c.cfg.Manifest.Encode()
	if err != nil {
		c.conn.Log().ErrorContext(ctx, "cannot announce the service", "service", c.service, "error", err)
		return false
	}
	if !c.conn.Clock.Known() {
		if err := c.conn.Ping(ctx); err != nil {
			c.missedHeartbeat(ctx, err)
			return false
		}
	}
	member := redis.Z{Member: c.worker + " " + digest, Score: float64(c.conn.Clock.Millis() + c.cfg.Expiry.Milliseconds())}
	workers := c.conn.Keys.Workers(c.service)
	sent := c.conn.Clock.Local()
	pipe := c.conn.Redis().Pipeline()
	added := pipe.ZAdd(ctx, workers, member)
	clock := pipe.Time(ctx)
	due := time.Since(announced) > time.Hour
	if due {
		c.announce(ctx, pipe, canonical, digest)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		c.missedHeartbeat(ctx, err)
		return false
	}
	c.conn.Clock.Adjust(sent, c.conn.Clock.Local(), clock.Val())
	if added.Val() > 0 && !due {
		// Redis did not know this worker any more: it has lost the rest as well.
		pipe := c.conn.Redis().Pipeline()
		c.announce(ctx, pipe, canonical, digest)
		_, err = pipe.Exec(ctx)
	}
	return due && err == nil
}

func (c *Consumer) missedHeartbeat(ctx context.Context, err error) {
	if !c.dismissed(err) {
		c.conn.Log().WarnContext(ctx, "heartbeat failed", "worker", c.worker, "error", err)
	}
}

func (c *Consumer) announce(ctx context.Context, pipe redis.Pipeliner, canonical []byte, digest string) {
	now := c.conn.Clock.Now()
	pipe.ZRemRangeByScore(ctx, c.conn.Keys.Workers(c.service), "-inf", "("+strconv.FormatInt(now.Add(-deadWorkerTTL).UnixMilli(), 10))
	if c.cfg.Hidden {
		return
	}
	pipe.Set(ctx, c.conn.Keys.Manifest(c.service, digest), canonical, ManifestTTL)
	pipe.SAdd(ctx, c.conn.Keys.Services(), c.service)
	pipe.Publish(ctx, c.conn.Keys.Registry(), c.service)
}

// keep resets the idle time of what this worker runs. Where another worker has
// taken a request, its handler here is told by its context.
func (c *Consumer) keep(ctx context.Context) {
	now := c.conn.Clock.Millis()
	args := []any{c.worker}
	c.mu.Lock()
	for entry, r := range c.running {
		if now < r.until {
			args = append(args, entry)
		}
	}
	c.mu.Unlock()
	if len(args) == 1 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	lost, err := c.conn.Scripts.Keep.Run(ctx, c.conn.Redis(), []string{c.mailbox}, args...)
	if err != nil {
		if !rediserr.IsNoGroup(err) && !c.dismissed(err) {
			c.conn.Log().WarnContext(ctx, "could not keep running requests", "worker", c.worker, "error", err)
		}
		return
	}
	entries, _ := lost.([]any)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		entry, _ := e.(string)
		// It may have been settled since the list was made.
		if r := c.running[entry]; r != nil {
			r.cancel(ErrOwnershipLost)
		}
	}
}

// leave takes this worker off the list: gateways send no more because of it.
func (c *Consumer) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	c.presence.Lock()
	defer c.presence.Unlock()
	c.leaving = true
	_, digest, err := c.cfg.Manifest.Encode()
	if err == nil {
		pipe := c.conn.Redis().Pipeline()
		pipe.ZRem(ctx, c.conn.Keys.Workers(c.service), c.worker+" "+digest)
		if !c.cfg.Hidden {
			pipe.Publish(ctx, c.conn.Keys.Registry(), c.service)
		}
		_, err = pipe.Exec(ctx)
	}
	if err != nil && !c.dismissed(err) {
		c.conn.Log().WarnContext(ctx, "could not sign off; the heartbeat will expire", "worker", c.worker, "error", err)
	}
}

// retire removes one consumer, or with "" all, from the group once it has been
// idle so long and nothing is pending for it.
func (c *Consumer) retire(ctx context.Context, worker string, idle time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	if _, err := c.conn.Scripts.Retire.Run(ctx, c.conn.Redis(), []string{c.mailbox}, idle.Milliseconds(), worker); err != nil && !rediserr.IsNoGroup(err) && !c.dismissed(err) {
		c.conn.Log().WarnContext(ctx, "could not remove idle consumers", "service", c.service, "error", err)
	}
}
