package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// StoreGateway stores a text about a live gateway, for a time (SET, ZADD).
func StoreGateway(ctx context.Context, c *bus.Conn, id string, text []byte, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout())
	defer cancel()
	now := c.Clock.Millis()
	pipe := c.Redis().Pipeline()
	pipe.Set(ctx, c.Keys.Gateway(id), text, ttl)
	pipe.ZAdd(ctx, c.Keys.Gateways(), redis.Z{Score: float64(now + ttl.Milliseconds()), Member: id})
	pipe.ZRemRangeByScore(ctx, c.Keys.Gateways(), "-inf", strconv.FormatInt(now-ttl.Milliseconds(), 10))
	commands, err := pipe.Exec(ctx)
	if err = cmp.Or(rediserr.FirstRefused(commands...), err); err != nil {
		return fmt.Errorf("store the state of gateway %s: %w", id, err)
	}
	return nil
}

// RemoveGateway removes the text of a gateway that stops (DEL, ZREM).
func RemoveGateway(ctx context.Context, c *bus.Conn, id string) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout())
	defer cancel()
	pipe := c.Redis().Pipeline()
	pipe.Del(ctx, c.Keys.Gateway(id))
	pipe.ZRem(ctx, c.Keys.Gateways(), id)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("remove the state of gateway %s: %w", id, err)
	}
	return nil
}

// ReadGateways returns the texts of all live gateways by their identifiers (ZRANGEBYSCORE,
// GET).
func ReadGateways(ctx context.Context, c *bus.Conn) (map[string][]byte, error) {
	ids, err := c.Redis().ZRangeByScore(ctx, c.Keys.Gateways(), &redis.ZRangeBy{Min: strconv.FormatInt(c.Clock.Millis(), 10), Max: "+inf"}).Result()
	if err != nil {
		return nil, fmt.Errorf("read the gateways: %w", err)
	}
	texts := make(map[string][]byte, len(ids))
	for _, id := range ids {
		text, err := c.Redis().Get(ctx, c.Keys.Gateway(id)).Bytes()
		if errors.Is(err, redis.Nil) { // it has stopped
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the state of gateway %s: %w", id, err)
		}
		texts[id] = text
	}
	return texts, nil
}
