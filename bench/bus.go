package bench

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
)

// busTarget asks without a gateway.
type busTarget struct {
	client *caller.Client
	ask    caller.Call
}

// NewBus prepares to ask through a client of the bus, which all connections
// share, as the calls of a gateway do.
func NewBus(client *caller.Client, ask caller.Call) Target {
	return &busTarget{client: client, ask: ask}
}

func (t *busTarget) String() string {
	kind := "unsafe"
	if t.ask.Safe {
		kind = "safe"
	}
	return t.ask.Service + " " + t.ask.Action + " on the bus, " + kind
}

// Connect gives the client to one more asker.
func (t *busTarget) Connect() Connection { return busConnection{t} }

type busConnection struct{ *busTarget }

// Ask waits as long as the request has time.
func (c busConnection) Ask(ctx context.Context) Answer {
	ask := c.ask
	reply, err := c.client.Do(ctx, &ask)
	if err != nil {
		kind := failureOf(err)
		return Answer{Failure: kind, Detail: err.Error(), Unreached: kind == "unavailable"}
	}
	answer := Answer{Bytes: len(reply.Envelope)}
	if !strings.HasPrefix(reply.Envelope, `{"ok":true,`) {
		answer.Failure, answer.Detail = failureIn(reply.Envelope)
	}
	return answer
}

// Close does nothing: the client belongs to the caller of NewBus.
func (busConnection) Close() {}

// failureOf names the kind of an error of the bus.
func failureOf(err error) string {
	for _, known := range []struct {
		err  error
		kind string
	}{
		{caller.ErrUnavailable, "unavailable"},
		{caller.ErrOverloaded, "overloaded"},
		{caller.ErrTimeout, "timeout"},
		{caller.ErrExpired, "expired"},
		{caller.ErrDead, "dead"},
		{caller.ErrKeyReused, "key reused"},
		{caller.ErrClosed, "closed"},
	} {
		if errors.Is(err, known.err) {
			return known.kind
		}
	}
	return "error"
}

// failureIn reads an envelope that does not begin like a good one; other
// languages may write a good one with spaces.
func failureIn(envelope string) (kind, detail string) {
	var read struct {
		OK    bool       `json:"ok"`
		Error wire.Error `json:"error"`
	}
	switch err := json.Unmarshal([]byte(envelope), &read); {
	case err != nil:
		return "no envelope", shorten([]byte(envelope))
	case read.OK:
		return "", ""
	default:
		return "code " + string(read.Error.Code), read.Error.Message
	}
}
