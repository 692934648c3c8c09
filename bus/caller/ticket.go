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

// Send asks an unsafe action and returns once the request is accepted, with its
// ID: what becomes of it, Record and Watch tell. Errors are those of Do; with
// ErrTimeout it is not known whether it was accepted.
func (c *Client) Send(ctx context.Context, ask *Call) (uuid.UUID, error) {
	if ask.Safe {
		return uuid.Nil, errors.New("a safe request keeps no outcome to be learned later")
	}
	if _, err := c.listen(ctx, ask.Service); err != nil {
		return uuid.Nil, err
	}
	id, timeout, err := c.admit(ask)
	if err != nil {
		return uuid.Nil, err
	}
	request := c.request(id, "", ask, timeout)
	w := c.waiter(ask.Service, request)
	w.shared, w.sending = ask.Shared, true
	c.waiters.add(id, w)
	c.writer.add(outgoing{service: ask.Service, id: id, request: request})
	r, err := c.wait(ctx, id, w, wire.DefaultTimeout)
	switch {
	case err != nil:
		return uuid.Nil, err
	case r.timeout:
		return uuid.Nil, ErrTimeout
	case r.err != nil && !errors.Is(r.err, ErrDead): // a dead letter has its ticket too
		return uuid.Nil, r.err
	}
	return id, c.copies.confirm(ctx, ask.Service)
}

// Watching is somebody's waiting for the end of a request that it need not have
// sent itself, nor this process. Close it.
type Watching struct {
	client  *Client
	service string
	id      uuid.UUID
	w       *waiter
	ended   bool
}

// Watch begins to wait for the end of a request, and tells its state by now.
// Nothing is polled meanwhile but, ever more seldom, for a message that was lost.
// Of a request that has ended already there is nothing to wait for: the Watching
// is nil.
func (c *Client) Watch(ctx context.Context, service, id string) (*Watching, Record, error) {
	key, err := uuid.Parse(id)
	if err != nil {
		return nil, Record{}, ErrNoRecord
	}
	channel, err := c.listen(ctx, service)
	if err != nil {
		return nil, Record{}, err
	}
	watching := &Watching{client: c, service: service, id: key, w: c.waiter(service, &wire.Request{ID: id, Store: 1})}
	watching.w.watching, watching.w.sent = true, true
	c.waiters.add(key, watching.w)
	state, err := c.watched(ctx, service, id, channel)
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

// Wait waits for the end, for so long at most. It reports whether that has come,
// which Record tells more of.
func (t *Watching) Wait(ctx context.Context, most time.Duration) (bool, error) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case r := <-t.w.wake:
		t.ended = true
		return true, r.err
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// Ended reports whether Wait has told of an end.
func (t *Watching) Ended() bool { return t.ended }

// Close ends the waiting.
func (t *Watching) Close() {
	if !t.ended && !t.client.waiters.remove(t.id, t.w) {
		<-t.w.wake // somebody took it to wake it
	}
	t.client.release(t.w)
}

// watched has the replies to a request come here too (watch.lua).
func (c *Client) watched(ctx context.Context, service, id, channel string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	answer, err := c.conn.Scripts.Watch.Run(ctx, c.conn.Redis(), []string{c.conn.Keys.Record(service, id)}, channel)
	if err != nil {
		return "", fmt.Errorf("watch request %s of %s: %w", id, service, err)
	}
	state, _ := answer.(string)
	return state, nil
}

// Record tells what became of an unsafe request; see FindRecord.
func (c *Client) Record(ctx context.Context, service, id string) (Record, error) {
	return FindRecord(ctx, c.conn, service, id)
}

// Cancel ends a request that no worker has read yet: it never runs. It returns
// the state that the request has then: StateCancelled, or, of one that could not
// be cancelled, any other.
func Cancel(ctx context.Context, c *bus.Conn, service, id string) (Record, error) {
	before, err := FindRecord(ctx, c, service, id)
	if err != nil || before.State != wire.StateQueued {
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
	if _, err := c.Scripts.Cancel.Run(ctx, c.Redis(), keys, line, DefaultStore.Milliseconds()); err != nil {
		return Record{}, fmt.Errorf("cancel request %s of %s: %w", id, service, err)
	}
	return FindRecord(ctx, c, service, id)
}

// Cancel ends a request that no worker has read yet; see Cancel.
func (c *Client) Cancel(ctx context.Context, service, id string) (Record, error) {
	return Cancel(ctx, c.conn, service, id)
}
