package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/workers"
)

// Ticket names a request that was sent without waiting for its outcome:
// SERVICE.ID, as in the header Location of a gateway.
type Ticket string

// ErrUnknownTicket reports that a request is not known: it never existed, it is safe and
// keeps no outcome, or its outcome is no longer kept.
var ErrUnknownTicket = errors.New("unknown ticket")

func (t Ticket) parts() (service, id string, err error) {
	service, id, _ = strings.Cut(string(t), ".")
	if wire.CheckServiceName(service) != nil && service != wire.ReservedService || uuid.Validate(id) != nil {
		return "", "", fmt.Errorf("%w: %.80q is not SERVICE.ID", ErrUnknownTicket, string(t))
	}
	return service, id, nil
}

// Send calls an unsafe action and returns once the request is stored: it will run,
// without a deadline unless the option Timeout sets one. Its outcome is kept for
// 5 min, with a Key for 24 h.
func (c *Client) Send(ctx context.Context, service, action string, args ...any) (Ticket, error) {
	request, err := c.request(ctx, service, action, args)
	if err != nil {
		return "", err
	}
	request.Wait, request.Endless = true, c.options.timeout == 0
	id, err := c.process.Send(ctx, request)
	if err != nil {
		return "", publicError(err)
	}
	return Ticket(service + "." + id.String()), nil
}

// Outcome is the state of a request and, if it has ended, its result or error.
type Outcome struct {
	// State is queued, running, done, expired (it never ran), dead or cancelled.
	State string
	// Action is the action that was called.
	Action string
	// Result is the result as JSON, when State is done and the action succeeded.
	Result []byte
	// Err is the error of the action, an *Error, when State is done and it failed.
	Err error
}

// Ended reports whether the state is final.
func (o *Outcome) Ended() bool { return (caller.Record{State: o.State}).Ended() }

// Outcome returns the present state of a request. It does not wait. Errors:
// ErrUnknownTicket, and an Error with the code UNAVAILABLE if Redis does not answer.
func (c *Client) Outcome(ctx context.Context, t Ticket) (Outcome, error) {
	service, id, err := t.parts()
	if err != nil {
		return Outcome{}, err
	}
	record, err := c.process.Record(ctx, service, id)
	return outcomeOf(ctx, record, err)
}

// Wait waits until a request has ended, or ctx ends, and returns its outcome. The error
// is that of Outcome, or that of ctx.
func (c *Client) Wait(ctx context.Context, t Ticket) (Outcome, error) {
	service, id, err := t.parts()
	if err != nil {
		return Outcome{}, err
	}
	record, err := c.process.Await(ctx, service, id)
	return outcomeOf(ctx, record, err)
}

// Cancel cancels a request and returns its state: "cancelled" if no worker had read it, or
// "cancelling" while its handler is told to stop, and then the handler's outcome or
// "cancelled". Any other state means that it could not be cancelled.
func (c *Client) Cancel(ctx context.Context, t Ticket) (Outcome, error) {
	service, id, err := t.parts()
	if err != nil {
		return Outcome{}, err
	}
	record, err := c.process.Cancel(ctx, service, id)
	return outcomeOf(ctx, record, err)
}

func outcomeOf(ctx context.Context, record caller.Record, err error) (Outcome, error) {
	switch {
	case err == nil:
	case errors.Is(err, caller.ErrNoRecord):
		return Outcome{}, ErrUnknownTicket
	case ctx.Err() != nil:
		return Outcome{}, context.Cause(ctx)
	default:
		return Outcome{}, workers.Fail(workers.CodeUnavailable, http.StatusServiceUnavailable, "Redis did not answer").WithCause(err)
	}
	o := Outcome{State: record.State, Action: record.Action}
	if record.Outcome != "" {
		result, failure := wire.ParseEnvelope(record.Outcome)
		if o.Result = result; failure != nil {
			o.Err = publicError(failure)
		}
	}
	return o, nil
}
