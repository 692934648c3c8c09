package caller

import (
	"context"
	"crypto/rand"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// secret is a random value that all gateways of a namespace share. The first gateway
// creates it. Each gateway offers the value that it knows with every ping, so that a
// Redis that lost it gets the same value back.
type secret struct {
	offer []byte
	known atomic.Pointer[[]byte]
}

const secretBytes = 32

func newSecret() *secret {
	s := &secret{offer: make([]byte, secretBytes)}
	_, _ = rand.Read(s.offer) // it never returns an error
	return s
}

// exchange adds the commands that offer and read the secret to a pipeline (SETNX, GET).
func (s *secret) exchange(ctx context.Context, pipe redis.Pipeliner, key string) *redis.StringCmd {
	mine := s.offer
	if known := s.known.Load(); known != nil {
		mine = *known
	}
	pipe.Do(ctx, "setnx", key, mine) // the library's SetNX sends SET, to which gateways have no right
	return pipe.Get(ctx, key)
}

// learn stores the answer to exchange.
func (s *secret) learn(answer *redis.StringCmd) {
	if shared, err := answer.Bytes(); err == nil && len(shared) == secretBytes {
		s.known.Store(&shared)
	}
}

// Secret returns the secret that all gateways of the namespace share, for IDs that
// clients must not guess. It is nil until Redis has returned it, and for a client that
// is not a gateway.
func (c *Client) Secret() []byte {
	if c.health.secret == nil {
		return nil
	}
	if known := c.health.secret.known.Load(); known != nil {
		return *known
	}
	return nil
}
