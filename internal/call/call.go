package call

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
)

// maxDepth is the maximum number of services that call each other in a row. More is a
// cycle, or as slow as one.
const maxDepth = 8

// Call is one call of an action.
type Call struct {
	// Call is the request. Do and Send set Safe and Lane as the service declares the
	// action, and Timeout unless the caller did. ID, Shared and Store are for requests
	// that keep their outcome.
	caller.Call
	// Declared is the action as its service declares it. Defaults to a lookup.
	Declared *wire.Action
	// Keep keeps the outcome of a safe action too and bypasses the cache: the same ID
	// gets the same outcome. Defaults to false.
	Keep bool
	// Wait sends the request even while no worker of the service is running. Defaults
	// to false.
	Wait bool
	// Cached says which cached answers the caller accepts. Defaults to any.
	Cached Cached
	// Place is the name under which Limit counts the call. Defaults to the service.
	Place string
	// Until ends the wait, as a deadline of the context does, for a caller without such
	// a context. Defaults to Timeout alone.
	Until time.Time
	// Depth is the number of calls that led to this one.
	Depth int
	// Lanes are those held by the requests that wait for this call. See wire.LaneName.
	Lanes []string

	principal string // the key of the principal, from enter on
}

func (c *Call) place() string {
	if c.Place != "" {
		return c.Place
	}
	return c.Service
}

// patience returns how long a call may wait for its turn.
func (c *Call) patience() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return wire.DefaultTimeout
}

// Cached says which cached answers a caller accepts (RFC 9111, section 5.2.1).
type Cached struct {
	// Skip bypasses the cache: the call neither reads nor stores an answer.
	Skip bool
	// Refresh rejects stored answers and replaces them.
	Refresh bool
	// Only accepts a stored answer and sends no request.
	Only bool
	// Bounded rejects stored answers older than MaxAge.
	Bounded bool
	// MaxAge is the limit of Bounded.
	MaxAge time.Duration
}

func (c *Cached) tooOld(a *cache.Answer) bool { return c.Bounded && !c.Only && a.Age > c.MaxAge }

// Answer is the answer of a call: an envelope, with a result or an error.
type Answer struct {
	wire.Reply
	// Shared is what the cache did; nil: the call bypassed it.
	Shared *SharedAnswer
}

// Result returns the result of the envelope, as JSON. An error of the service is a
// *wire.Error.
func (a *Answer) Result() (json.RawMessage, error) {
	result, failure := wire.ParseEnvelope(a.Envelope)
	if failure != nil {
		return nil, failure
	}
	return result, nil
}

// Source returns where a cached or shared answer came from; empty: the call bypassed the
// cache, or has no answer.
func (a *Answer) Source() string {
	if a.Shared == nil {
		return ""
	}
	return a.Shared.Source.String()
}

// Status returns the HTTP status of the answer, or of the failure of the call; 0: neither
// has one.
func (a *Answer) Status(failure error) int {
	switch {
	case failure != nil:
		if e, ok := errors.AsType[*wire.Error](failure); ok {
			return e.Status
		}
		return 0
	case a.Shared != nil:
		return a.Shared.Status
	default:
		meta, _ := wire.ParseReplyMeta(a.Meta) // an unreadable meta has no status
		return wire.StatusOf(a.Envelope, meta.Status)
	}
}

// logIDs returns the IDs of a log line about the call, as one attribute.
func (c *Call) logIDs() slog.Attr {
	return (&wire.Request{ID: c.ID.String(), Meta: c.Meta}).LogIDs()
}

// EncodeArgs encodes arguments as a JSON array.
func EncodeArgs(args []any) (string, error) {
	list := make([]json.RawMessage, len(args))
	for i, arg := range args {
		text, err := json.Marshal(arg)
		if err != nil {
			return "", fmt.Errorf("argument %d: %w", i, err)
		}
		list[i] = text
	}
	text, err := json.Marshal(list)
	return string(text), err
}
