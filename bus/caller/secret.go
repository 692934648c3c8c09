package caller

import (
	"context"
	"crypto/rand"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// secret is what all gateways of a namespace share and nobody else can guess:
// the first made it up. Each offers the one that it knows at every beat, so that
// a Redis that lost it gets the same one back.
type secret struct {
	offer []byte
	known atomic.Pointer[[]byte]
}

const secretBytes = 32

func newSecret() *secret {
	s := &secret{offer: make([]byte, secretBytes)}
	_, _ = rand.Read(s.offer) // it never fails: see its documentation
	return s
}

// ask adds to a pipeline what settles the secret (SETNX, GET).
func (s *secret) ask(ctx context.Context, pipe redis.Pipeliner, key string) *redis.StringCmd {
	mine := s.offer
	if known := s.known.Load(); known != nil {
		mine = *known
	}
	pipe.Do(ctx, "setnx", key, mine) // the library's own SetNX is a SET, which no gateway has the right to
	return pipe.Get(ctx, key)
}

// learn takes the answer.
func (s *secret) learn(answer *redis.StringCmd) {
	if shared, err := answer.Bytes(); err == nil && len(shared) == secretBytes {
		s.known.Store(&shared)
	}
}

// Secret is shared by all gateways of the namespace, and known to nobody else;
// nil until Redis has told it, and where the client is no
// gateway's. It is for IDs that callers shall not guess.
func (c *Client) Secret() []byte {
	if c.replies.secret == nil {
		return nil
	}
	if known := c.replies.secret.known.Load(); known != nil {
		return *known
	}
	return nil
}
