package caller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// Record is the state of an unsafe request. Redis keeps it for a time after its end.
type Record struct {
	State  string
	Action string
	// Principal is the key of the caller's principal; empty: the caller was anonymous,
	// and anyone may read the record.
	Principal string
	// Outcome is the envelope of the reply; empty unless State is wire.StateDone.
	Outcome string
	// Progress is the last that the handler reported, as JSON; empty: none.
	Progress string
	// Internal reports that another request made this one: no client may read it.
	Internal bool

	cancelling bool
}

// Tell returns the record as the result of GET /requests/<service>.<id>.
func (r Record) Tell(service, id string) wire.RequestState {
	state := wire.RequestState{ID: id, Service: service, Action: r.Action, State: r.State}
	if json.Valid([]byte(r.Outcome)) {
		state.Outcome = json.RawMessage(r.Outcome)
	}
	if json.Valid([]byte(r.Progress)) {
		state.Progress = json.RawMessage(r.Progress)
	}
	return state
}

// Ended reports whether the request has reached a final state.
func (r Record) Ended() bool { return record{state: r.State}.ended() }

// FindRecord returns the record of an unsafe request (HMGET, XPENDING). Errors:
// ErrNoRecord.
func FindRecord(ctx context.Context, c *bus.Conn, service, id string) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout())
	defer cancel()
	r, entry, err := readRecord(ctx, c, service, id)
	if err != nil || r.State != wire.StateQueued || entry == "" { // without an entry it waits in its lane
		return r, err
	}
	pending, err := c.Redis().XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: c.Keys.Requests(service), Group: wire.Group, Start: entry, End: entry, Count: 1,
	}).Result()
	switch {
	case rediserr.IsNoGroup(err): // the service never had a worker
		return r, nil
	case err != nil:
		return Record{}, fmt.Errorf("look up request %s of %s: %w", id, service, err)
	case len(pending) > 0 && r.cancelling:
		r.State = wire.StateCancelling
		return r, nil
	case len(pending) > 0:
		r.State = wire.StateRunning
		return r, nil
	}
	// No worker has it: it waits, or ended between the two reads.
	r, _, err = readRecord(ctx, c, service, id)
	return r, err
}

// recordTextFields are the fields of a Record, in the order in which readRecord reads them.
func recordTextFields() []string {
	return []string{"state", "action", "principal", "outcome", "entry", "progress", "cancelling", "internal", "body"}
}

func readRecord(ctx context.Context, c *bus.Conn, service, id string) (r Record, entry string, err error) {
	values, err := readFields(ctx, c, service, id, recordTextFields()...)
	if err != nil {
		return Record{}, "", fmt.Errorf("look up request %s of %s: %w", id, service, err)
	}
	if len(values) != len(recordTextFields()) {
		return Record{}, "", fmt.Errorf("look up request %s of %s: %d fields", id, service, len(values))
	}
	r = Record{
		State: values[0], Action: values[1], Principal: values[2], Progress: values[5], cancelling: values[6] != "", Internal: values[7] != "",
	}
	if r.State == "" { // the stored long reply of a safe request
		return Record{}, "", ErrNoRecord
	}
	if r.State == wire.StateDone {
		outcome, err := record{state: r.State, outcome: values[3], body: values[8] != ""}.whenTooLarge(service).whole(ctx, c, service, id)
		if err != nil {
			return Record{}, "", err
		}
		_, r.Outcome, _ = strings.Cut(outcome, " ")
	}
	return r, values[4], nil
}

// record is the part of a record that a waiter needs; all empty if there is none.
type record struct {
	state, outcome string
	other          bool // another request has the ID
	body           bool // the whole outcome is in a key of its own for a while
}

// whole returns the whole outcome, or what is kept of it (STRLEN, GET).
func (r record) whole(ctx context.Context, c *bus.Conn, service, id string) (string, error) {
	if !r.body {
		return r.outcome, nil
	}
	key := c.Keys.Body(service, id)
	if size, err := c.Redis().StrLen(ctx, key).Result(); err != nil || size > maxField {
		return tooLarge(service), err
	}
	body, err := c.Get(ctx, key)
	if errors.Is(err, bus.ErrNoValue) {
		return r.outcome, nil
	}
	return string(body), err
}

// errUnfinished: the request has no outcome yet.
var errUnfinished = errors.New("not finished")

// recordFields are the fields that newRecord reads.
func recordFields() []string { return []string{"state", "outcome", "fingerprint", "body"} }

// maxField is the length of the longest field of a record that is read: the largest outcome
// and its meta.
const maxField = wire.MaxReply + wire.MaxMeta

// readFields reads fields of a record. One over maxField is empty: the service could have
// stored anything.
func readFields(ctx context.Context, c *bus.Conn, service, id string, fields ...string) ([]string, error) {
	return c.Fields(ctx, c.Keys.Record(service, id), maxField, fields...)
}

// tooLarge returns the outcome in place of one that is too large.
func tooLarge(service string) string {
	e := wire.NewError(wire.CodeInternal, "the service's answer is too large")
	e.Service = service
	return "- " + string(wire.Failure(e))
}

// lookUp reads the record of a request.
func lookUp(ctx context.Context, c *bus.Conn, service string, request *wire.Request) (record, error) {
	values, err := readFields(ctx, c, service, request.ID, recordFields()...)
	if err != nil {
		return record{}, fmt.Errorf("look up request %s of %s: %w", request.ID, service, err)
	}
	return newRecord(values, request).whenTooLarge(service), nil
}

// whenTooLarge returns the record with an outcome in place of one over maxField.
func (r record) whenTooLarge(service string) record {
	if r.state == wire.StateDone && r.outcome == "" {
		r.outcome = tooLarge(service)
	}
	return r
}

// newRecord returns the record with these fields; an empty one is missing.
func newRecord(values []string, request *wire.Request) record {
	var r record
	if len(values) == len(recordFields()) {
		r.state, r.outcome, r.body = values[0], values[1], values[3] != ""
		fingerprint := values[2]
		// The stored reply of a safe request has no fingerprint; a watcher's request has no action.
		r.other = fingerprint != "" && request.Action != "" && fingerprint != request.Fingerprint()
	}
	return r
}

// ended reports whether the request has reached a final state.
func (r record) ended() bool {
	return r.state == wire.StateDone || r.state == wire.StateDead || r.neverRan()
}

// neverRan reports whether the request ended before it began. Redis accepts it again.
func (r record) neverRan() bool {
	return r.state == wire.StateExpired || r.state == wire.StateCancelled
}

// answer returns what a waiter gets for a record: its outcome, the error of its state,
// or errUnfinished.
func (r record) answer() (wire.Reply, error) {
	switch {
	case r.other && !r.neverRan():
		return wire.Reply{}, ErrKeyReused
	case r.state == wire.StateDone && r.body:
		return wire.Reply{Envelope: wire.StoredEnvelope}, nil // its caller reads it
	case r.state == wire.StateDone:
		return wire.ParseOutcome(r.outcome)
	case r.state == wire.StateExpired:
		return wire.Reply{}, ErrExpired
	case r.state == wire.StateCancelled:
		return wire.Reply{}, ErrCancelled
	case r.state == wire.StateDead:
		return wire.Reply{}, ErrDead
	default:
		return wire.Reply{}, errUnfinished
	}
}
