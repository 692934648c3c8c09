//go:build !linux

package bench

import (
	"context"
	"time"
)

// sleep waits by a timer of Go, which may be up to 1 ms late.
func sleep(ctx context.Context, d time.Duration) { pause(ctx, d) }
