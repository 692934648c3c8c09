package bus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/redis/go-redis/v9"
)

var quietOnce sync.Once //nolint:gochecknoglobals // the library's logger is one for the process

// quietLibrary logs the messages of the client library at the debug level, since the
// library also returns each failure as an error. The first connection's logger gets the
// messages of all.
func quietLibrary(log *slog.Logger) {
	quietOnce.Do(func() { redis.SetLogger(libraryLog{log}) })
}

type libraryLog struct{ log *slog.Logger }

// Printf logs one message of the client library.
func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, "Redis client", "message", fmt.Sprintf(format, args...))
	}
}
