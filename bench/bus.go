package bench

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
)

// busTarget calls an action on the bus, without a gateway.
type busTarget struct {
	client *caller.Client
	call   caller.Call
}

// NewBus returns a Target that makes the same call again and again through a client of
// the bus. All connections share the client, as the requests of a gateway do.
func NewBus(client *caller.Client, call caller.Call) Target {
	return &busTarget{client: client, call: call}
}

func (t *busTarget) String() string {
	kind := "unsafe"
	if t.call.Safe {
		kind = "safe"
	}
	return t.call.Service + " " + t.call.Action + " on the bus, " + kind
}

// Connect returns a connection that uses the shared client.
func (t *busTarget) Connect() Connection { return busConnection{t} }

type busConnection struct{ *busTarget }

// Do makes the call, and waits until its deadline.
func (c busConnection) Do(ctx context.Context) Answer {
	call := c.call
	reply, err := c.client.Do(ctx, &call)
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

// failureOf returns the kind of an error of the bus.
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

// failureIn returns the failure in an envelope; empty for a success, which workers in
// other languages may write with spaces.
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
