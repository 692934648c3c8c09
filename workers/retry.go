package workers

import (
	"context"
	"errors"
	"time"
)

const (
	firstWait   = 10 * time.Millisecond
	longestWait = time.Second
)

// Retry calls try until it gets an answer: a result, or an [*Error], which is the
// store's own word. Any other error means that the store did not answer, perhaps
// after it had done what it was asked, so that try has to be safe to repeat.
// Between two tries it waits, 10 ms at first and each time twice as long, up to a
// second. When ctx ends first there is no outcome (see NoOutcome), and the request
// is delivered again.
func Retry[R any](ctx context.Context, try func() (R, error)) (R, error) {
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		result, err := try()
		if _, refused := errors.AsType[*Error](err); err == nil || refused {
			return result, err
		}
		select {
		case <-ctx.Done():
			return result, NoOutcome(err)
		case <-time.After(wait):
		}
	}
}
