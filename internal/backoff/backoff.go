// Package backoff waits between tries.
package backoff

import (
	"context"
	"time"
)

// Backoff grows from a first to a largest wait by doubling.
type Backoff struct{ first, most, wait time.Duration }

// New makes one.
func New(first, most time.Duration) *Backoff { return &Backoff{first: first, most: most} }

// Next is how long to wait now.
func (b *Backoff) Next() time.Duration {
	b.wait = min(max(2*b.wait, b.first), b.most)
	return b.wait
}

// Reset begins anew.
func (b *Backoff) Reset() { b.wait = 0 }

// Pause waits, or ends with the context's error.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
