package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/token"
)

// nonceTTL is the time to live of a nonce that was made for a subscriber.
const nonceTTL = 24 * time.Hour

// Nonce returns the nonce of a tag, which changes with every invalidation of the tag, and
// makes one if there is none (SET NX GET). Two equal nonces say that nothing was
// invalidated between the two calls.
func (c *Cache) Nonce(ctx context.Context, space, tag string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	fresh := token.New(token.NameBytes)
	nonce, err := c.nonces.SetArgs(ctx, c.keys.tag(space, tag), fresh, redis.SetArgs{Mode: "NX", TTL: nonceTTL, Get: true}).Result()
	switch {
	case err == redis.Nil: //nolint:errorlint // there was none
		return fresh, nil
	case err != nil:
		return "", fmt.Errorf("read the nonce of %s: %w", tag, err)
	}
	return nonce, nil
}
