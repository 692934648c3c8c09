package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/oskadev/mailroom/workers"
)

// Service returns the service "conformance". Its state is in memory.
func Service() *workers.Service {
	s := workers.NewService("conformance", workers.WithVersion("1.0.0"))
	memory := newMemory()

	workers.Handle1(s, "ECHO", echo, workers.Route("POST /conformance/echo"))
	workers.Handle1(s, "GET", get, workers.Route("GET /conformance/:id"))
	workers.Handle1(s, "FAIL", fail, workers.Route("POST /conformance/fail"))
	workers.Handle1(s, "SLEEP", sleep, workers.Route("POST /conformance/sleep"))
	workers.Handle1(s, "BLOCK", block, workers.Route("POST /conformance/block"))
	workers.Handle0(s, "PANIC", fallOver, workers.Route("POST /conformance/panic"))
	workers.Handle1(s, "BIG", big, workers.Route("POST /conformance/big"))
	workers.Handle1(s, "NOOUTCOME", noOutcome, workers.Route("POST /conformance/nooutcome"))
	workers.Handle2(s, "APPEND", memory.append,
		workers.Route("POST /conformance/:key/append"), workers.Lane("conformance:{0}"))
	workers.Handle1(s, "CACHED", memory.cached,
		workers.Route("GET /conformance/:id/cached"), workers.Cache(30*time.Second, "conformance:{0}"))
	workers.Handle1(s, "TOUCH", touch,
		workers.Route("POST /conformance/:id/touch"), workers.Invalidates("conformance:{0}"))
	return s
}

func echo(_ context.Context, in map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	return in, nil
}

// Record is the result of GET and TOUCH.
type Record struct {
	ID int64 `json:"id"`
}

func get(_ context.Context, id int64) (Record, error) { return Record{ID: id}, nil }

// touch changes nothing: the option Invalidates of its action does the work.
func touch(_ context.Context, id int64) (Record, error) { return Record{ID: id}, nil }

// Failure is the argument of FAIL.
type Failure struct {
	Code    string `json:"code"`
	Status  int    `json:"status"`
	Message string `json:"message"`
	Details any    `json:"details,omitempty"`
}

func fail(_ context.Context, f Failure) (any, error) {
	e := workers.Fail(workers.Code(f.Code), f.Status, f.Message)
	if f.Details != nil {
		e = e.WithDetails(f.Details)
	}
	return nil, e
}

// Nap is the argument of SLEEP.
type Nap struct {
	MS int64 `json:"ms"`
	// Extend is the time from the start that the handler asks for, in ms.
	Extend int64 `json:"extend,omitempty"`
}

// Slept is the result of SLEEP and BLOCK.
type Slept struct {
	Slept int64 `json:"slept"`
}

func sleep(ctx context.Context, nap Nap) (Slept, error) {
	if nap.Extend > 0 {
		longer, done := workers.Extend(ctx, time.Duration(nap.Extend)*time.Millisecond)
		defer done()
		ctx = longer
	}
	return Slept{nap.MS}, wait(ctx, nap.MS)
}

// Block is the argument of BLOCK.
type Block struct {
	MS int64 `json:"ms"`
}

// block waits without regard to the end of the context.
func block(ctx context.Context, b Block) (Slept, error) {
	return Slept{b.MS}, wait(context.WithoutCancel(ctx), b.MS)
}

func wait(ctx context.Context, ms int64) error {
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func fallOver(context.Context) (any, error) {
	panic("internal-text") //nolint:forbidigo // the check needs a panic
}

// Size is the argument of BIG.
type Size struct {
	Bytes int `json:"bytes"`
}

const maxSize = 16 << 20

func big(_ context.Context, size Size) (string, error) {
	if size.Bytes < 0 || size.Bytes > maxSize {
		return "", workers.Fail(workers.CodeBadRequest, http.StatusBadRequest, "bytes is out of range")
	}
	return strings.Repeat("x", size.Bytes), nil
}

// Times is the argument of NOOUTCOME.
type Times struct {
	Times int `json:"times"`
}

// Attempts is the result of NOOUTCOME.
type Attempts struct {
	Attempt int `json:"attempt"`
}

func noOutcome(ctx context.Context, t Times) (Attempts, error) {
	attempt := workers.Attempt(ctx)
	if attempt <= t.Times {
		return Attempts{}, workers.NoOutcome(errors.New("told to have none"))
	}
	return Attempts{attempt}, nil
}
