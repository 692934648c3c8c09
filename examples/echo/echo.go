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

// WithExit adds the action EXIT, which ends the process at once, as a crash would. It is for worker processes that
// something starts again, not for one that is a gateway as well.
func WithExit() Option { return withExit(os.Exit) }

func withExit(exit func(code int)) Option {
	return func(h *handlers) { h.exit = exit }
}

// Service makes the service "echo". It counts and keeps lists in Redis, below a namespace.
func Service(rdb redis.UniversalClient, namespace string, opts ...Option) *workers.Service {
	h := handlers{runs: runs{rdb, namespace + ":{echo}:runs:"}, logs: logs{rdb, namespace + ":{echo}:log:"}}
	for _, opt := range opts {
		opt(&h)
	}
	echo := workers.NewService("echo", workers.WithVersion("1.0.0"))

	workers.Handle1(echo, "GET_ECHO", h.get,
		workers.Route("GET /echo/:id"), workers.Summary("The least that a read can do"))
	workers.Handle1(echo, "ECHO", h.echo,
		workers.Route("POST /echo"), workers.Summary("Its argument back"))
	workers.Handle1(echo, "SLEEP", h.sleep,
		workers.Route("POST /echo/sleep"), workers.Summary("Answers late"))
	workers.Handle2(echo, "CACHED", h.runs.cached,
		workers.Route("GET /echo/:id/cached"), workers.Cache(30*time.Second, "echo:{0}"), workers.Summary("How often it ran; cached"))
	workers.Handle1(echo, "TOUCH", h.runs.touch,
		workers.Route("POST /echo/:id/touch"), workers.Invalidates("echo:{0}"), workers.Summary("Makes what CACHED answered stale"))
	workers.Handle2(echo, "APPEND", h.logs.append,
		workers.Route("POST /echo/:id/append"), workers.Lane("echo:{0}"), workers.Summary("Adds a value to a list, one at a time for an id"))
	workers.Handle1(echo, "LOG", h.logs.log,
		workers.Route("GET /echo/:id/log"), workers.Summary("That list"))
	workers.Handle1(echo, "FAIL", h.fail,
		workers.Route("POST /echo/fail"), workers.Summary("Fails as it is told"))
	workers.Handle0(echo, "PANIC", h.fallOver,
		workers.Route("POST /echo/panic"), workers.Summary("Panics"))
	if h.exit != nil {
		workers.Handle0(echo, "EXIT", h.crash,
			workers.Route("POST /echo/exit"), workers.Summary("Ends the worker process"))
	}
	return echo
}

// handlers are the actions of the service.
type handlers struct {
	runs runs
	logs logs
	exit func(code int) // nil: there is no action EXIT
}

// Record is what GET_ECHO answers.
type Record struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

func (handlers) get(_ context.Context, id int64) (Record, error) {
	return Record{ID: id, Name: "Oska", Email: "oska@example.com"}, nil
}

// Object is any JSON object; its values stay as they were written.
type Object map[string]json.RawMessage

func (handlers) echo(_ context.Context, in Object) (Object, error) {
	return in, nil
}

// Nap says how long SLEEP waits.
type Nap struct {
	MS int64 `json:"ms" jsonschema:"milliseconds, 0 to 600000"`
}

// Slept says how long SLEEP waited.
type Slept struct {
	Slept int64 `json:"slept" jsonschema:"milliseconds"`
}

// longestNap is in milliseconds.
const longestNap = 600_000

func (handlers) sleep(ctx context.Context, nap Nap) (Slept, error) {
	return Slept{Slept: nap.MS}, wait(ctx, nap.MS)
}

// wait waits so many milliseconds.
func wait(ctx context.Context, ms int64) error {
	if ms < 0 || ms > longestNap {
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
