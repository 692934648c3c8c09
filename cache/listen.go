package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/redismemory"
)

// quiet is how long nothing may be heard before Redis is asked for a sign.
const quiet = 5 * time.Second

// listen hears the outcomes that this process waits for, and what is
// invalidated, until the context ends. What it misses costs time, and near
// copies: they are forgotten.
func (c *Cache) listen(ctx context.Context) {
	waits := backoff.New(50*time.Millisecond, time.Second)
	refusals := 0 // in a row
	for ctx.Err() == nil {
		err := c.session(ctx, waits)
		c.hears.Store(false)
		c.near.clear()
		if ctx.Err() != nil {
			return
		}
		wait := waits.Next()
		if rediserr.IsRefused(err) {
			refusals++
			wait = refusedWait
		} else {
			refusals = 0
		}
		// A refusal stays, and is told once; not at first, since it ends most processes.
		if refusals == 0 || refusals == 2 {
			c.log.WarnContext(ctx, "the cache does not hear what is invalidated, subscribing anew", "error", err, "retry_in", wait)
		}
		_ = backoff.Pause(ctx, wait) // the loop looks at the context
	}
}

// refusedWait is how long Redis is left alone that refuses this process.
const refusedWait = 2 * time.Second

func (c *Cache) session(ctx context.Context, waits *backoff.Backoff) error {
	pubsub := c.line.rdb.Subscribe(ctx) // which does not talk to Redis yet
	// A blocked read does not see the context end; a closed connection it does.
	unwatch := context.AfterFunc(ctx, func() { _ = pubsub.Close() })
	defer func() {
		unwatch()
		_ = pubsub.Close()
	}()
	if err := pubsub.Subscribe(ctx, c.channel); err != nil {
		return err
	}
	if err := pubsub.PSubscribe(ctx, c.keys.droppedPattern()); err != nil {
		return err
	}
	awaited, asked := 2, false
	for {
		message, err := pubsub.ReceiveTimeout(ctx, quiet)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() && !asked && awaited <= 0 {
			asked = true
			err = pubsub.Ping(ctx)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		asked = false
		switch m := message.(type) {
		case *redis.Subscription:
			if !strings.HasSuffix(m.Kind, "subscribe") || strings.Contains(m.Kind, "un") {
				return fmt.Errorf("unasked %s of %s", m.Kind, m.Channel)
			}
			if awaited--; awaited == 0 {
				waits.Reset()
				c.near.clear() // what was invalidated before is not known
				c.hears.Store(true)
			}
		case *redis.Message:
			if m.Channel == c.channel {
				c.handed(ctx, m.Payload)
			} else {
				c.near.drop(c.keys.droppedSpace(m.Channel), strings.Fields(m.Payload))
			}
		}
	}
}

// watchMemory notes when Redis has no room for more copies: where it evicts
// nothing by itself, what others need has to stay free.
func (c *Cache) watchMemory(ctx context.Context) {
	for {
		ask, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
		info, err := c.line.rdb.Info(ask, "memory").Result() // not every server has it, nor every user the right to it
		cancel()
		if memory := redismemory.Of(info); err == nil {
			keeps := memory.Policy == "noeviction"
			if full := keeps && memory.Over(c.cfg.FillShare); full != c.full.Swap(full) {
				c.log.WarnContext(ctx, "Redis' memory is filled so far that answers are no longer stored, or are again", "full", full)
			}
		}
		if backoff.Pause(ctx, time.Second) != nil {
			return
		}
	}
}
