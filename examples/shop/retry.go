package shop

import (
	"context"
	"errors"
	"time"

	"github.com/oskadev/mailroom/workers"
)

const (
	firstWait   = 10 * time.Millisecond
	longestWait = time.Second
)

// retry calls try until it gets an answer: a result, or a *[workers.Error], which is the store's own word. Any other
// error means that the store did not answer, perhaps after it had done what it was asked, so try must be safe to
// repeat. Between two tries it waits, each time twice as long up to a second. When ctx ends first, the request has no
// outcome, and Mailroom delivers it again.
func retry[R any](ctx context.Context, try func() (R, error)) (R, error) {
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		result, err := try()
		if _, refused := errors.AsType[*workers.Error](err); err == nil || refused {
			return result, err
		}
		select {
		case <-ctx.Done():
			return result, workers.NoOutcome(err)
		case <-time.After(wait):
		}
	}
}
