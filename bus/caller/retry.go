package caller

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
)

// Limits of the retries of a safe request that could not be sent, because a connection
// was lost or Redis is loading or failing over. A request that has waited for
// Config.ReadyWait is past retryWithin.
const (
	maxTries     = 3
	maxRetryWait = 100 * time.Millisecond // before the second try; twice that before the third
	retryWithin  = 400 * time.Millisecond // since the first try
)

// retry repeats a safe call that could not be sent. The waits are random, so that
// callers that failed together do not retry together. It does not repeat an unsafe
// call: the caller decides.
func retry(ctx context.Context, call *Call, once func(context.Context, *Call) (wire.Reply, error)) (wire.Reply, error) {
	if !call.Safe {
		return once(ctx, call)
	}
	began := time.Now()
	reply, err := once(ctx, call)
	if err == nil {
		return reply, nil
	}
	rest := *call
	timeout := call.Timeout
	if timeout <= 0 {
		timeout = wire.DefaultTimeout
	}
	for try := 1; try < maxTries && errors.Is(err, ErrUnavailable); try++ {
		wait := rand.N(maxRetryWait * time.Duration(try)) //nolint:gosec // not a secret
		begins := time.Since(began) + wait
		if rest.Timeout = timeout - begins; rest.Timeout <= 0 || begins > retryWithin || backoff.Pause(ctx, wait) != nil {
			break
		}
		reply, err = once(ctx, &rest)
	}
	return reply, err
}
