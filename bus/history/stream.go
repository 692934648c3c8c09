package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
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

const (
	followEvery = 300 * time.Millisecond // between two looks
	followPage  = 200                    // entries in one look
)

// Follow calls yield with each entry that is added from now on, until the context ends or
// yield returns false (XINFO STREAM, XRANGE).
func Follow(ctx context.Context, c *bus.Conn, service string, yield func(*Entry) bool) error {
	after := make(map[string]string)
	for _, key := range []string{c.Keys.Recent(service), c.Keys.RecentNotable(service)} {
		after[key] = "0-0"
		if info, err := c.Redis().XInfoStream(ctx, key).Result(); err == nil { // else it does not exist yet
			after[key] = info.LastGeneratedID
		} else if rediserr.IsRefused(err) || !rediserr.IsServer(err) {
			return fmt.Errorf("follow the history of %s: %w", service, err)
		}
	}
	for {
		for key, from := range after {
			found, err := c.Redis().XRangeN(ctx, key, "("+from, "+", followPage).Result()
			switch {
			case ctx.Err() != nil:
				return nil //nolint:nilerr // it was told to stop
			case err != nil:
				return fmt.Errorf("follow the history of %s: %w", service, err)
			}
			for i := range found {
				after[key] = found[i].ID
				if e := parse(service, &found[i]); !yield(&e) {
					return nil
				}
			}
		}
		if backoff.Pause(ctx, followEvery) != nil {
			return nil //nolint:nilerr // it was told to stop
		}
	}
}
