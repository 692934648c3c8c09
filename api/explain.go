package api

import (
	"context"
	"errors"
	"time"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
)

// explain turns an error of the bus into the gateway's answer.
func (s *Server) explain(in *call, r *route, err error) *failure {
	location := in.outcomeAt(r)
	var full *caller.OverloadedError
	switch {
	case errors.As(err, &full):
		message := "too many requests wait for " + r.service
		switch {
		case full.Waiting == 0:
			message = "there is no room for more requests"
		case full.Late:
			message = "so many requests wait for " + r.service + " that this one could not be answered in time"
		}
		return &failure{code: codeOverloaded, message: message, retryAfter: full.RetryAfter}
	case errors.Is(err, caller.ErrNotReplicated):
		return &failure{code: codeTimeout, message: "the outcome is not safely stored yet", location: location}
	case errors.Is(err, caller.ErrTimeout), errors.Is(err, caller.ErrExpired):
		return &failure{code: codeTimeout, message: r.service + " did not answer in time", location: location}
	case errors.Is(err, caller.ErrUnavailable):
		// The loss of Redis has been logged where it was noticed.
		s.log.Debug("a request could not be sent", "service", r.service, "request", in.id, "error", err)
		return unavailable("Redis is not reachable")
	case errors.Is(err, caller.ErrDead):
		return &failure{
			code: codeInternal, message: "the request was given up", location: location,
			details: map[string]string{"state": wire.StateDead},
		}
	case errors.Is(err, caller.ErrCancelled):
		return &failure{
			code: codeConflict, message: "the request was cancelled", location: location,
			details: map[string]string{"state": wire.StateCancelled},
		}
	case errors.Is(err, errTooLong):
		return &failure{code: codeInternal, message: "the answer is larger than this route may give", location: location}
	case errors.Is(err, caller.ErrKeyReused):
		return fail(codeKeyReused, "another request was sent with this Idempotency-Key")
	case errors.Is(err, context.Canceled), errors.Is(err, caller.ErrClosed):
		return &failure{code: codeUnavailable, message: "the gateway is stopping", retryAfter: time.Second, location: location}
	default:
		s.log.Error("a call failed", "service", r.service, "action", r.action.Name, "request", in.id, "error", err)
		return fail(codeInternal, "internal error")
	}
}
