package echo

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

// Option configures the service.
type Option func(*handlers)

// WithExit adds the action EXIT, which ends the process at once, like a crash. Use it only for worker processes that are
// restarted, and not in the process of a gateway.
func WithExit() Option { return withExit(os.Exit) }

func withExit(exit func(code int)) Option {
	return func(h *handlers) { h.exit = exit }
}

// Service returns the service "echo". It keeps its counts and lists in Redis; namespace is the prefix of its keys.
func Service(rdb redis.Cmdable, namespace string, opts ...Option) *workers.Service {
	h := handlers{runs: runs{rdb, namespace + ":{echo}:runs:"}, logs: logs{rdb, namespace + ":{echo}:log:"}}
	for _, opt := range opts {
		opt(&h)
	}
	echo := workers.NewService("echo", workers.WithVersion("1.0.0"))

	workers.Handle1(echo, "GET_ECHO", h.get,
		workers.Route("GET /echo/:id"), workers.Summary("Returns a constant record"))
	workers.Handle1(echo, "ECHO", h.echo,
		workers.Route("POST /echo"), workers.Summary("Returns its argument"))
	workers.Handle1(echo, "SLEEP", h.sleep,
		workers.Route("POST /echo/sleep"), workers.Summary("Waits before it answers"))
	workers.Handle2(echo, "CACHED", h.runs.cached,
		workers.Route("GET /echo/:id/cached"), workers.Cache(30*time.Second, "echo:{0}"), workers.Summary("Returns the number of its runs; cached"))
	workers.Handle1(echo, "TOUCH", h.runs.touch,
		workers.Route("POST /echo/:id/touch"), workers.Invalidates("echo:{0}"), workers.Summary("Invalidates the cached answers of CACHED"))
	workers.Handle2(echo, "APPEND", h.logs.append,
		workers.Route("POST /echo/:id/append"), workers.Lane("echo:{0}"), workers.Summary("Appends a value to a list, one request at a time for each id"))
	workers.Handle1(echo, "LOG", h.logs.log,
		workers.Route("GET /echo/:id/log"), workers.Summary("Returns the list of APPEND"))
	workers.Handle1(echo, "FAIL", h.fail,
		workers.Route("POST /echo/fail"), workers.Summary("Returns the given error"))
	workers.Handle0(echo, "PANIC", h.fallOver,
		workers.Route("POST /echo/panic"), workers.Summary("Panics"))
	if h.exit != nil {
		workers.Handle0(echo, "EXIT", h.crash,
			workers.Route("POST /echo/exit"), workers.Summary("Ends the worker process"))
	}
	return echo
}

// handlers implements the actions of the service.
type handlers struct {
	runs runs
	logs logs
	exit func(code int) // nil: there is no action EXIT
}

// Record is the result of GET_ECHO.
type Record struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

func (handlers) get(_ context.Context, id int64) (Record, error) {
	return Record{ID: id, Name: "Oska", Email: "oska@example.com"}, nil
}

// Object is any JSON object. Its values are not decoded, and are returned byte by byte.
type Object map[string]json.RawMessage

func (handlers) echo(_ context.Context, in Object) (Object, error) {
	return in, nil
}

// Nap is the time that SLEEP waits.
type Nap struct {
	MS int64 `json:"ms" description:"milliseconds, 0 to 600000"`
}

// Slept is the result of SLEEP.
type Slept struct {
	Slept int64 `json:"slept" description:"milliseconds"`
}

// maxNap is in milliseconds.
const maxNap = 600_000

func (handlers) sleep(ctx context.Context, nap Nap) (Slept, error) {
	return Slept{Slept: nap.MS}, wait(ctx, nap.MS)
}

// wait waits for ms milliseconds, or until the context ends.
func wait(ctx context.Context, ms int64) error {
	if ms < 0 || ms > maxNap {
		return workers.BadRequest(workers.FieldError{Field: "ms", Problem: "must be from 0 to 600000"})
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
