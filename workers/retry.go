package workers

import (
	"context"
	"errors"
	"time"
)

const (
	minWait = 10 * time.Millisecond
	maxWait = time.Second
)

// Retry calls try, for example a write to a database, until it returns a result or an
// [*Error]. Any other error means that the database did not answer; it may have done the
// work all the same, so try must be safe to repeat. Retry waits 10 ms after the first try,
// then twice as long each time, and at most 1 s. If ctx ends first, Retry returns the last
// error as [NoOutcome], and the request is delivered again.
func Retry[R any](ctx context.Context, try func() (R, error)) (R, error) {
	for wait := minWait; ; wait = min(2*wait, maxWait) {
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
