package caller

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
)

// How often, and after how long, a safe request is tried again that could not be
// sent: a connection was lost, or Redis is loading or failing over. One that has
// waited for Redis to come back already, ClientConfig.ReadyWait, does not wait again.
const (
	maxTries  = 3
	tryWait   = 100 * time.Millisecond // at most, before the second; twice that before the third
	tryWithin = 400 * time.Millisecond // since the first
)

// tryAgain asks, and where nothing was sent asks again. The waits are random, so
// that all who were refused at one moment do not come back at one moment. An
// unsafe request is its caller's to repeat.
func retry(ctx context.Context, ask *Call, once func(context.Context, *Call) (wire.Reply, error)) (wire.Reply, error) {
	if !ask.Safe {
		return once(ctx, ask)
	}
	began := time.Now()
	reply, err := once(ctx, ask)
	if err == nil {
		return reply, nil
	}
	rest := *ask
	timeout := ask.Timeout
	if timeout <= 0 {
		timeout = wire.DefaultTimeout
	}
	for try := 1; try < maxTries && errors.Is(err, ErrUnavailable); try++ {
		wait := rand.N(tryWait * time.Duration(try)) //nolint:gosec // nobody gains by guessing it
		begins := time.Since(began) + wait
		if rest.Timeout = timeout - begins; rest.Timeout <= 0 || begins > tryWithin || backoff.Pause(ctx, wait) != nil {
			break
		}
		reply, err = once(ctx, &rest)
	}
	return reply, err
}
