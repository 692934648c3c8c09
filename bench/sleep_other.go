//go:build !linux

package bench

import (
	"context"
	"time"
)

// sleep waits by a timer of Go, which may be late by up to a millisecond.
func sleep(ctx context.Context, d time.Duration) { pause(ctx, d) }
