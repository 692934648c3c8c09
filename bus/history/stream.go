package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// add appends entries to the history of a service (XADD with MAXLEN, PEXPIRE).
func add(ctx context.Context, c *bus.Conn, service string, keep int64, entries []*Entry) error {
	pipe := c.Redis().Pipeline()
	for _, e := range entries {
		key := c.Keys.Recent(service)
		if e.notable {
			key = c.Keys.RecentNotable(service)
		}
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: key, MaxLen: keep, Approx: true, Values: e.fields()})
		pipe.PExpire(ctx, key, ttl)
	}
	commands, err := pipe.Exec(ctx)
	return cmp.Or(rediserr.FirstRefused(commands...), err)
}

// Read returns the last entries of a service, at most n, the latest first.
func Read(ctx context.Context, c *bus.Conn, service string, n int64) ([]Entry, error) {
	pipe := c.Redis().Pipeline()
	ordinary := pipe.XRevRangeN(ctx, c.Keys.Recent(service), "+", "-", n)
	notable := pipe.XRevRangeN(ctx, c.Keys.RecentNotable(service), "+", "-", n)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", service, err)
	}
	found := append(notable.Val(), ordinary.Val()...)
	entries := make([]Entry, len(found))
	for i := range found {
		entries[i] = parse(service, &found[i])
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return wire.CompareEntries(b.Entry, a.Entry) })
	return entries[:min(n, int64(len(entries)))], nil
}

// MaxFind is how many entries of each service Find looks at.
const MaxFind = 5000

// Find returns the entries of several services whose correlation ID or request ID is id,
// from the earliest. It reads the whole history of each service.
func Find(ctx context.Context, c *bus.Conn, services []string, id string) ([]Entry, error) {
	var found []Entry
	for _, service := range services {
		entries, err := Read(ctx, c, service, MaxFind)
		if err != nil {
			return nil, err
		}
		for i := range entries {
			if entries[i].ID == id || entries[i].RequestID == id {
				found = append(found, entries[i])
			}
		}
	}
	slices.SortFunc(found, func(a, b Entry) int {
		return cmp.Or(a.Accepted().Compare(b.Accepted()), cmp.Compare(a.Depth, b.Depth))
	})
	return found, nil
}

// followBlock is how long Redis waits for an entry in one read.
const followBlock = time.Second

// Follow calls yield with each entry that is added from now on, until the context ends or
// yield returns false.
func Follow(ctx context.Context, c *bus.Conn, service string, yield func(*Entry) bool) error {
	keys := []string{c.Keys.Recent(service), c.Keys.RecentNotable(service)}
	after := map[string]string{keys[0]: "0-0", keys[1]: "0-0"}
	last, err := Read(ctx, c, service, 1)
	if err != nil {
		return err
	}
	if len(last) > 0 {
		after[keys[0]], after[keys[1]] = last[0].Entry, last[0].Entry
	}
	for ctx.Err() == nil {
		read, err := c.Redis().XRead(ctx, &redis.XReadArgs{Streams: []string{keys[0], keys[1], after[keys[0]], after[keys[1]]}, Block: followBlock}).Result()
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to stop
		case errors.Is(err, redis.Nil):
			continue
		case err != nil:
			return fmt.Errorf("follow the history of %s: %w", service, err)
		}
		for _, stream := range read {
			for i := range stream.Messages {
				after[stream.Stream] = stream.Messages[i].ID
				e := parse(service, &stream.Messages[i])
				if !yield(&e) {
					return nil
				}
			}
		}
	}
	return nil
}
