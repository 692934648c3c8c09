package call

import (
	"context"
	"net/http"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
)

// runMargin is the time that the cache waits beyond the timeout of a run, for a run that
// another process began again.
const runMargin = 2 * time.Second

// share answers from the cache, joins an identical call, or sends one for all identical
// concurrent calls.
func (c *Caller) share(ctx context.Context, call *Call, policy cache.Policy) (Answer, error) {
	query := cache.Query{
		Space: call.Service, Identity: withinLanes(call.Lanes, identity(call.Declared, call.Principal, call.Args)), Policy: policy,
		Refresh: call.Cached.Refresh, OnlyStored: call.Cached.Only, Inline: true,
	}
	if !query.Refresh {
		if local, found := c.cache.Local(query.Space, query.Identity); found && !call.Cached.tooOld(&local) {
			if answer, err := answerOf(local, nil); err == nil {
				return answer, nil
			}
		}
	}
	if _, ends := ctx.Deadline(); !ends {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, call.Timeout+runMargin)
		defer cancel()
	} else {
		query.Inline = false
	}
	query.Tags = tags(call.Declared, call.Args)
	var made *shared
	own := *call // the run may outlive the caller
	run := func(ctx context.Context) cache.Outcome {
		made = c.run(ctx, &own)
		return made.outcome()
	}
	found, err := c.cache.Do(ctx, &query, run)
	if err == nil && !query.Refresh && call.Cached.tooOld(&found) {
		query.Refresh = true
		found, err = c.cache.Do(ctx, &query, run)
	}
	for {
		switch {
		case err != nil:
			return Answer{}, err
		case found.Source == cache.Led:
			return answerOf(found, made)
		}
		answer, invalid := answerOf(found, nil)
		if invalid == nil {
			return answer, nil
		}
		c.invalid(call)
		switch {
		case query.OnlyStored:
			return Answer{}, cache.ErrNotStored
		case query.Refresh:
			return Answer{}, invalid
		}
		query.Refresh = true // an entry that is not valid is none
		found, err = c.cache.Do(ctx, &query, run)
	}
}

// invalid counts a cache entry that is not an answer.
func (c *Caller) invalid(call *Call) {
	c.unreadable.Warn(c.log, "ignored a cache entry that is not an answer", "service", call.Service, "action", call.Action)
	if c.onInvalid != nil {
		c.onInvalid(call.Service)
	}
}

// run sends the request of a shared call. Failures are shared too.
func (c *Caller) run(ctx context.Context, call *Call) *shared {
	reply, err := c.send(ctx, call)
	if err != nil {
		return failed(explain(call, err))
	}
	meta, _ := wire.ParseReplyMeta(reply.Meta)                      // an unreadable meta has no status
	if _, _, err := wire.ReadEnvelope(reply.Envelope); err != nil { // others get it too
		c.unreadable.Error(c.log.With(call.logIDs()), "a service answered with no envelope", "service", call.Service, "action", call.Action)
		return failed(wire.Unreadable(call.Service, call.Action))
	}
	return newShared(wire.StatusOf(reply.Envelope, meta.Status), reply.Meta, reply.Envelope)
}

// answerOf returns the answer that the cache found. made is that of this call, if it ran.
func answerOf(found cache.Answer, made *shared) (Answer, error) {
	if made == nil {
		var err error
		if made, err = parseShared(found.Value); err != nil {
			return Answer{}, err
		}
	}
	return Answer{
		Reply:  wire.Reply{Meta: made.meta, Envelope: made.envelope},
		Shared: &SharedAnswer{Answer: found, ETag: made.etag, Status: made.status},
	}, nil
}

// SharedAnswer describes an answer that passed through the cache.
type SharedAnswer struct {
	cache.Answer
	// ETag identifies the envelope: a quoted digest.
	ETag string
	// Status is the HTTP status.
	Status int
}

// OK reports whether the envelope is a success.
func (a *SharedAnswer) OK() bool { return a.Status < http.StatusMultipleChoices }

// Stored reports whether the answer comes from an earlier run.
func (a *SharedAnswer) Stored() bool {
	switch a.Source {
	case cache.Local, cache.Shared, cache.Revalidating, cache.Stale:
		return true
	default:
		return false
	}
}
