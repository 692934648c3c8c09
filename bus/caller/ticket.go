package caller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// Send calls an unsafe action and returns its request ID once the request is accepted.
// Record and Watch tell its state later. Errors are those of Do; after ErrTimeout it is
// not known whether the request was accepted.
func (c *Client) Send(ctx context.Context, call *Call) (uuid.UUID, error) {
	if call.Safe {
		return uuid.Nil, errors.New("send without waiting: a safe action keeps no outcome; use Do")
	}
	if _, err := c.listen(ctx, call.Service); err != nil {
		return uuid.Nil, err
	}
	id, timeout, err := c.admit(ctx, call)
	if err != nil {
		return uuid.Nil, err
	}
	request := c.request(id, "", call, timeout)
	if err := c.storesTooMuch(ctx, call.Service, request); err != nil {
		return uuid.Nil, err
	}
	w := c.waiters.get(call.Service, request, purpose{shared: call.Shared, sending: true})
	c.waiters.add(id, w)
	c.writer.add(outgoing{service: call.Service, id: id, request: request})
	r, err := c.waiters.wait(ctx, id, w, wire.DefaultTimeout)
	c.remember(request, r.err)
	switch {
	case err != nil:
		return uuid.Nil, err
	case r.timeout:
		return uuid.Nil, ErrTimeout
	case r.err != nil && !errors.Is(r.err, ErrDead): // a dead letter has its ticket too
		return uuid.Nil, r.err
	}
	return id, c.replication.confirm(ctx, call.Service, request, accepted)
}

// Watching waits for the end of a request of any process. Close it.
type Watching struct {
	client  *Client
	service string
	id      uuid.UUID
	w       *waiter
	ended   bool

	progress chan string // capacity 1: the latest
}

// Watch subscribes to the end of a request and returns its present record. If the
// request has ended already, the Watching is nil. Errors: ErrNoRecord, ErrUnavailable.
func (c *Client) Watch(ctx context.Context, service, id string) (*Watching, Record, error) {
	key, err := uuid.Parse(id)
	if err != nil {
		return nil, Record{}, ErrNoRecord
	}
	channel, err := c.listen(ctx, service)
	if err != nil {
		return nil, Record{}, err
	}
	watching := &Watching{client: c, service: service, id: key, w: c.waiters.get(service, &wire.Request{ID: id, Store: 1}, purpose{watching: true})}
	watching.progress = make(chan string, 1)
	watching.w.progress = func(text string) {
		select {
		case <-watching.progress: // an older one
		default:
		}
		select {
		case watching.progress <- text:
		default:
		}
	}
	watching.w.sent = true
	c.waiters.add(key, watching.w)
	state, err := c.addChannel(ctx, service, id, channel)
	if err == nil && state == "" {
		err = ErrNoRecord
	}
	var record Record
	if err == nil {
		record, err = FindRecord(ctx, c.conn, service, id)
	}
	if err != nil || record.Ended() {
		watching.Close()
		watching = nil
	}
	return watching, record, err
}

// Wait waits for the end of the request, at most the given time, and reports whether
// the request has ended. Record returns its outcome.
func (t *Watching) Wait(ctx context.Context, maxWait time.Duration) (bool, error) {
	ended, _, err := t.next(ctx, maxWait, nil)
	return ended, err
}

// Next is Wait that also ends with a report of progress, and returns it as JSON.
func (t *Watching) Next(ctx context.Context, maxWait time.Duration) (ended bool, progress string, err error) {
	return t.next(ctx, maxWait, t.progress)
}

func (t *Watching) next(ctx context.Context, maxWait time.Duration, reports <-chan string) (ended bool, progress string, err error) {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case r := <-t.w.wake:
		t.ended = true
		return true, "", r.err
	case progress := <-reports:
		return false, progress, nil
	case <-timer.C:
		return false, "", nil
	case <-ctx.Done():
		return false, "", ctx.Err()
	}
}

// Ended reports whether Wait has reported the end.
func (t *Watching) Ended() bool { return t.ended }

// Close releases the Watching.
func (t *Watching) Close() {
	if !t.ended && !t.client.waiters.remove(t.id, t.w) {
		<-t.w.wake // another goroutine took it and sends a result
	}
	t.client.waiters.put(t.w)
}

// addChannel adds a channel to those that get the replies to a request (watch.lua) and
// returns the state of the request; empty: it has no record.
func (c *Client) addChannel(ctx context.Context, service, id, channel string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	answer, err := c.conn.Scripts.Watch.Run(ctx, c.conn.Redis(), []string{c.conn.Keys.Record(service, id)}, channel)
	if err != nil {
		return "", fmt.Errorf("watch request %s of %s: %w", id, service, err)
	}
	state, _ := answer.(string)
	return state, nil
}

// Record returns the record of an unsafe request; see FindRecord.
func (c *Client) Record(ctx context.Context, service, id string) (Record, error) {
	return FindRecord(ctx, c.conn, service, id)
}

// Cancel cancels a request. One that no worker has read yet never runs: the record that it
// returns has the state wire.StateCancelled. The handler of a running one is told to stop:
// the state is wire.StateCancelling, and then the handler's outcome or wire.StateCancelled.
// Any other state means that the request could not be cancelled. Errors: ErrNoRecord.
func Cancel(ctx context.Context, c *bus.Conn, service, id string) (Record, error) {
	before, err := FindRecord(ctx, c, service, id)
	if err != nil || before.State != wire.StateQueued && before.State != wire.StateRunning {
		return before, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout())
	defer cancel()
	e := wire.Error{
		Code: wire.CodeConflict, Status: 409, Message: "the request was cancelled", Service: service, Action: before.Action, RequestID: id,
		Details: map[string]string{"state": wire.StateCancelled},
	}
	line := append([]byte(id), ' ')
	line = append(wire.ReplyMeta{Status: e.Status}.Append(line), ' ')
	line = append(line, wire.Failure(&e)...)
	keys := []string{c.Keys.Requests(service), c.Keys.Record(service, id)}
	state, err := c.Scripts.Cancel.Run(ctx, c.Redis(), keys, line, defaultStore.Milliseconds())
	if err != nil {
		return Record{}, fmt.Errorf("cancel request %s of %s: %w", id, service, err)
	}
	if state == wire.StateCancelling { // it may have ended by now, because it was told to
		before.State = wire.StateCancelling
		return before, nil
	}
	return FindRecord(ctx, c, service, id)
}

// Cancel cancels a request; see the function Cancel.
func (c *Client) Cancel(ctx context.Context, service, id string) (Record, error) {
	return Cancel(ctx, c.conn, service, id)
}
