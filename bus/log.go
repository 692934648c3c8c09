package bus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/redis/go-redis/v9"
)

var quietOnce sync.Once //nolint:gochecknoglobals // the library's logger is one for the process

// quietLibrary sends what the client library logs by itself to the debug
// level: each failure comes back as an error too, and is logged where it
// matters. The first connection's logger serves for all.
func quietLibrary(log *slog.Logger) {
	quietOnce.Do(func() { redis.SetLogger(libraryLog{log}) })
}

type libraryLog struct{ log *slog.Logger }

// Printf is what the client library calls.
func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, "Redis client", "message", fmt.Sprintf(format, args...))
	}
}
