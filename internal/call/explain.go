package call

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
)

// Causes of errors that this package finds itself.
var (
	errNoWorker      = errors.New("no worker is running")
	errPaused        = errors.New("the service is paused")
	errTooManyCalls  = errors.New("too many calls in flight")
	errUnknownAction = errors.New("unknown action")
	errCycle         = errors.New("call cycle")
	errTooDeep       = errors.New("too many calls in a row")
)

// NotSent reports whether the request of a failed call was not sent: it had no effect.
func NotSent(err error) bool {
	return errors.Is(err, errNoWorker) || errors.Is(err, errPaused) || errors.Is(err, errTooManyCalls) || errors.Is(err, caller.ErrOverloaded) ||
		errors.Is(err, caller.ErrStorageLimited) ||
		errors.Is(err, caller.ErrUnavailable) && !errors.Is(err, caller.ErrTimeout)
}

// explain returns the error of a call for a cause.
func explain(c *Call, cause error) *wire.Error {
	e := describe(c, cause).WithCause(cause)
	e.Service, e.Action = c.Service, c.Action
	return e
}

// describe returns the code, message and details for a cause.
func describe(c *Call, cause error) *wire.Error {
	switch {
	case errors.Is(cause, caller.ErrOverloaded):
		return overloaded(c, cause)
	case errors.Is(cause, caller.ErrStorageLimited):
		return storageLimited(c, cause)
	case errors.Is(cause, errTooManyCalls):
		return later(wire.CodeOverloaded, "too many calls of "+c.place()+" are in flight here")
	case errors.Is(cause, cache.ErrCrowded):
		return later(wire.CodeOverloaded, "too many callers wait for this answer")
	case errors.Is(cause, errNoWorker):
		return later(wire.CodeUnavailable, "no worker of "+c.Service+" is running")
	case errors.Is(cause, errPaused):
		return later(wire.CodeUnavailable, c.Service+" is paused by an operator")
	case errors.Is(cause, errUnknownAction):
		return wire.NewError(wire.CodeNotSupported, fmt.Sprintf("%s has no action %.64q", c.Service, c.Action))
	case errors.Is(cause, errCycle):
		return wire.NewError(wire.CodeCycle, fmt.Sprintf(
			"%s would wait in the lane %s of %s, which is held by a request that waits for it", c.Action, c.Lane, c.Service))
	case errors.Is(cause, errTooDeep):
		return wire.NewError(wire.CodeTooDeep, fmt.Sprintf(
			"%d services have called each other in a row, and %s would be one more", maxDepth, c.Service))
	case errors.Is(cause, caller.ErrNotReplicated):
		return wire.NewError(wire.CodeTimeout, "the outcome is not safely stored yet")
	case errors.Is(cause, caller.ErrTimeout), errors.Is(cause, caller.ErrExpired):
		return wire.NewError(wire.CodeTimeout, c.Service+" did not answer in time")
	case errors.Is(cause, caller.ErrTooFewReplicas):
		return later(wire.CodeUnavailable, "too few replicas of Redis are connected to keep an outcome safely")
	case errors.Is(cause, caller.ErrMayEvict):
		return later(wire.CodeUnavailable, "Redis may evict requests when its memory is full")
	case errors.Is(cause, caller.ErrUnavailable): // before DeadlineExceeded, which may be its cause
		return later(wire.CodeUnavailable, "Redis is not reachable")
	case errors.Is(cause, context.DeadlineExceeded):
		return wire.NewError(wire.CodeTimeout, c.Service+" did not answer in time")
	case errors.Is(cause, caller.ErrDead):
		e := wire.NewError(wire.CodeInternal, "the request was given up")
		e.Details = map[string]string{"state": wire.StateDead}
		return e
	case errors.Is(cause, caller.ErrCancelled):
		e := wire.NewError(wire.CodeConflict, "the request was cancelled")
		e.Details = map[string]string{"state": wire.StateCancelled}
		return e
	case errors.Is(cause, caller.ErrKeyReused):
		return wire.NewError(wire.CodeKeyReused, "another request was sent with this Idempotency-Key")
	case errors.Is(cause, cache.ErrNotStored):
		return wire.NewError(wire.CodeTimeout, "there is no stored answer, and only-if-cached was asked for")
	case errors.Is(cause, context.Canceled), errors.Is(cause, caller.ErrClosed), errors.Is(cause, cache.ErrClosed):
		return later(wire.CodeUnavailable, "the gateway is stopping")
	default:
		return wire.NewError(wire.CodeInternal, "internal error")
	}
}

// later returns an error with a Retry-After of one second.
func later(code wire.Code, message string) *wire.Error {
	e := wire.NewError(code, message)
	e.RetryAfter = time.Second
	return e
}

// storageLimited returns the error for a principal that stores too much.
func storageLimited(c *Call, cause error) *wire.Error {
	e := later(wire.CodeStorageLimited, "your requests of "+c.Service+" and their outcomes take all the room that you have")
	if limited, ok := errors.AsType[*caller.StorageLimitedError](cause); ok {
		e.RetryAfter = limited.RetryAfter
	}
	return e
}

// overloaded returns the error for a full mailbox.
func overloaded(c *Call, cause error) *wire.Error {
	message, after := "too many requests wait for "+c.Service, time.Second
	if full, ok := errors.AsType[*caller.OverloadedError](cause); ok {
		after = full.RetryAfter
		switch {
		case full.Waiting == 0:
			message = "there is no room for more requests"
		case full.Late:
			message = "so many requests wait for " + c.Service + " that this one could not be answered in time"
		}
	}
	e := wire.NewError(wire.CodeOverloaded, message)
	e.RetryAfter = after
	return e
}
