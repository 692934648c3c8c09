package caller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/token"
)

// Defaults of a client.
const (
	// DefaultStore is how long the outcome of an unsafe request is kept.
	DefaultStore = 5 * time.Minute
	// DefaultMailboxLimit is how many requests may wait for a service.
	DefaultMailboxLimit = 100_000
	// DefaultLaneLimit is how many requests may wait in one lane.
	DefaultLaneLimit = 10_000
	// LanedReadStore is how long the outcome of a safe request with a lane is kept.
	LanedReadStore = time.Minute
)

// Ask is one question to a service.
type Call struct {
	Service string
	Action  string
	// Args is a JSON array of the positional arguments; empty means none.
	Args string
	// ID is the correlation ID, a UUID. Defaults to a fresh UUIDv7.
	ID uuid.UUID
	// Shared says that others may ask under the same ID, as with one
	// Idempotency-Key: the first runs, and all who ask the same get its outcome.
	// Who asks something else gets ErrKeyReused.
	Shared bool
	// Meta is a JSON object of what travels along but for the principal, or empty.
	Meta string
	// Principal is on whose behalf it is asked; nil: nobody had to say. Only that
	// principal is told later what became of the request.
	Principal *wire.Principal
	// Timeout is how long the answer is waited for and the request may begin.
	// Defaults to DefaultTimeout.
	Timeout time.Duration
	// Endless says that the request may begin at any time: it waits for a worker
	// as long as that takes. Timeout is then only how long the answer is waited for.
	Endless bool
	// Safe says that the action may run twice. Other requests keep their
	// outcome for Store, which defaults to DefaultStore.
	Safe  bool
	Store time.Duration
	// Lane is the key whose requests run one at a time, in the order in which they
	// are accepted; empty: none. What has a lane keeps its outcome, also when it is
	// Safe: for LanedReadStore then, unless Store says otherwise. See Action.LaneOf.
	Lane string
}

// ClientConfig of a Client. The zero value is ready to use.
type Config struct {
	// Role is the first part of the asker's identifier: "api", or the name of
	// the service that asks. Defaults to RoleAPI.
	Role string
	// MailboxLimit is how many requests may wait for one service before more
	// are refused with ErrOverloaded. Defaults to DefaultMailboxLimit.
	MailboxLimit int64
	// LaneLimit is how many requests may wait in one lane before more are refused with
	// ErrOverloaded. In all lanes of a service MailboxLimit may wait. Defaults to
	// DefaultLaneLimit.
	LaneLimit int64
	// AdmitLate sends also requests that, by the measured rate, no worker could
	// reach before their deadline. Defaults to false: such are refused with
	// ErrOverloaded, and told when to come again.
	AdmitLate bool
	// MinReplicas is how many replicas of Redis have to hold the outcome of an
	// unsafe request before its caller gets it; with fewer the caller gets
	// ErrNotReplicated. Defaults to 0.
	MinReplicas int
	// ReplicaWait is how long they may take. Defaults to 1 s.
	ReplicaWait time.Duration
	// Beat is how often the client checks that it hears its replies; three
	// missed beats make it subscribe anew. Defaults to 1 s.
	Ping time.Duration
	// ReadyWait is how long a request waits for Redis to come back before it
	// is refused with ErrUnavailable. Defaults to 500 ms.
	ReadyWait time.Duration
}

func (c *Config) setDefaults() {
	if c.Role == "" {
		c.Role = wire.RoleAPI
	}
	if c.MailboxLimit == 0 {
		c.MailboxLimit = DefaultMailboxLimit
	}
	if c.LaneLimit == 0 {
		c.LaneLimit = DefaultLaneLimit
	}
	if c.ReplicaWait == 0 {
		c.ReplicaWait = time.Second
	}
	if c.Ping == 0 {
		c.Ping = time.Second
	}
	if c.ReadyWait == 0 {
		c.ReadyWait = 500 * time.Millisecond
	}
}

// Client asks services. One is enough for a process: it has one subscription
// for replies and one writer for requests, which all callers share. It is safe
// for concurrent use.
type Client struct {
	conn    *bus.Conn
	cfg     Config
	id      string
	waiters *waiters
	replies *replies
	writer  *writer
	copies  *replication
	idle    sync.Pool // of *waiter

	stop context.CancelFunc
	done sync.WaitGroup
}

// NewClient starts a client. Close it after its last call.
func New(conn *bus.Conn, cfg Config) *Client {
	cfg.setDefaults()
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{conn: conn, cfg: cfg, id: cfg.Role + "." + token.New(token.NameBytes), waiters: newWaiters(), stop: stop}
	c.replies = newReplies(conn, c.id, cfg.Ping, c.waiters)
	c.writer = newWriter(conn, c.waiters, c.replies, newAdmission(conn, cfg.MailboxLimit, cfg.LaneLimit, cfg.AdmitLate), cfg.ReadyWait)
	c.copies = newReplication(ctx, conn, cfg.MinReplicas, cfg.ReplicaWait)
	c.done.Go(func() { c.copies.run(ctx) })
	c.done.Go(func() { c.replies.run(ctx) })
	c.done.Go(func() { c.replies.beat(ctx) })
	c.done.Go(func() { c.sweep(ctx) })
	c.done.Go(func() { c.writer.admits.watch(ctx, cfg.Ping) })
	for range writers {
		c.done.Go(func() { c.writer.run(ctx) })
	}
	return c
}

// Asker is this client's identifier on the wire.
func (c *Client) ID() string { return c.id }

// Ready reports whether the client can ask: Redis is reachable and the
// client hears its replies.
func (c *Client) Ready() bool { return c.replies.isReady() }

// WaitReady waits until the client is Ready, or the context ends. Where Redis
// refuses the client it returns a RefusedError at once.
func (c *Client) WaitReady(ctx context.Context) error { return c.replies.waitReady(ctx) }

// Refused is what Redis refuses the client: a RefusedError, or nil. It goes on
// trying, more seldom, and is not Ready meanwhile.
func (c *Client) Refused() error {
	if refusal := c.replies.refusal.Load(); refusal != nil {
		return *refusal
	}
	return nil
}

// Close ends the client; whoever still waits gets ErrClosed.
func (c *Client) Close() {
	c.stop()
	c.done.Wait()
	c.waiters.failAll(ErrClosed)
}

// Do asks and waits for the answer. The answer may be an error of the service:
// then the envelope says so, and Do returns no error. Errors of Do itself are
// those of this package: ErrUnavailable, ErrOverloaded (not accepted), ErrTimeout
// (unknown, ask again under the same ID), ErrNotReplicated, ErrExpired,
// ErrCancelled, ErrDead, ErrKeyReused. What is Safe and could not be sent is tried
// again, for a moment and within its Timeout.
func (c *Client) Do(ctx context.Context, ask *Call) (wire.Reply, error) {
	return retry(ctx, ask, c.once)
}

// once asks once.
func (c *Client) once(ctx context.Context, ask *Call) (wire.Reply, error) {
	channel, err := c.listen(ctx, ask.Service)
	if err != nil {
		return wire.Reply{}, err
	}
	id, timeout, err := c.admit(ask)
	if err != nil {
		return wire.Reply{}, err
	}
	request := c.request(id, channel, ask, timeout)
	w := c.waiter(ask.Service, request)
	w.shared = ask.Shared
	c.waiters.add(id, w)
	c.writer.add(outgoing{service: ask.Service, id: id, request: request})
	r, err := c.wait(ctx, id, w, timeout)
	if err != nil {
		return wire.Reply{}, err
	}
	reply, err := r.reply, r.err
	switch {
	case r.timeout:
		reply, err = c.lastLook(ctx, ask.Service, request)
	case err == nil && reply.Stored():
		reply, err = c.storedReply(ctx, ask.Service, request, reply)
	}
	if err == nil && !ask.Safe {
		err = c.copies.confirm(ctx, ask.Service)
	}
	if err != nil {
		return wire.Reply{}, err
	}
	return reply, nil
}

// admit says under which ID and for how long to ask, if at all.
func (c *Client) admit(ask *Call) (uuid.UUID, time.Duration, error) {
	if c.replies.full.Load() {
		return uuid.Nil, 0, &OverloadedError{Service: ask.Service, RetryAfter: time.Second}
	}
	id, timeout := ask.ID, ask.Timeout
	if id == uuid.Nil {
		var err error
		if id, err = uuid.NewV7(); err != nil {
			return uuid.Nil, 0, fmt.Errorf("make a request ID: %w", err)
		}
	}
	if timeout <= 0 {
		timeout = wire.DefaultTimeout
	}
	return id, timeout, nil
}

// waiter takes one that nobody uses; release gives it back, once it is out of
// the table and nobody else knows it.
func (c *Client) waiter(service string, request *wire.Request) *waiter {
	w, _ := c.idle.Get().(*waiter)
	if w == nil {
		w = newWaiter()
	}
	w.begin(service, request)
	return w
}

func (c *Client) release(w *waiter) {
	w.end()
	c.idle.Put(w)
}

// listen makes sure that the answer will be heard, before the question is
// sent, and says on which channel.
func (c *Client) listen(ctx context.Context, service string) (string, error) {
	if channel := c.replies.channel(service); channel != "" {
		return channel, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ReadyWait)
	defer cancel()
	if err := c.replies.listen(ctx, service); err != nil {
		return "", &NotSentError{Cause: err}
	}
	return c.conn.Keys.Replies(c.id, service), nil
}

func (c *Client) request(id uuid.UUID, channel string, ask *Call, timeout time.Duration) *wire.Request {
	r := &wire.Request{
		ID: id.String(), Action: ask.Action, Args: ask.Args, Meta: ask.Principal.AddTo(ask.Meta),
		Reply: channel, PrincipalKey: ask.Principal.Key(),
	}
	if !ask.Endless {
		r.Deadline = c.conn.Clock.Now().Add(timeout).UnixMilli()
	}
	if r.Args == "" {
		r.Args = "[]"
	}
	if !ask.Safe || ask.Lane != "" {
		r.Store, r.Lane = ask.store().Milliseconds(), ask.Lane
		r.Fingerprint() // now, since others will read it
	}
	return r
}

// store is how long the outcome is kept.
func (a *Call) store() time.Duration {
	switch {
	case a.Store >= time.Millisecond:
		return a.Store
	case a.Safe:
		return LanedReadStore
	default:
		return DefaultStore
	}
}

// wait ends with the answer, the timeout or the context, whichever is first, and gives
// the waiter back.
func (c *Client) wait(ctx context.Context, id uuid.UUID, w *waiter, timeout time.Duration) (result, error) {
	c.setAlarm(id, w, timeout)
	defer func() {
		if w.alarm.Stop() { // else the alarm may still be looking for it
			c.release(w)
		}
	}()
	if ctx.Done() == nil { // one channel costs less than a choice
		return <-w.wake, nil
	}
	select {
	case r := <-w.wake:
		return r, nil
	case <-ctx.Done():
		if c.waiters.remove(id, w) {
			return result{}, ctx.Err()
		}
		return <-w.wake, nil // somebody took it to wake it: the answer is on its way
	}
}

// setAlarm wakes a waiter when its time is up.
func (c *Client) setAlarm(id uuid.UUID, w *waiter, timeout time.Duration) {
	w.id = id
	if w.alarm != nil {
		w.alarm.Reset(timeout)
		return
	}
	w.alarm = time.AfterFunc(timeout, func() {
		if c.waiters.remove(w.id, w) {
			w.wake <- result{timeout: true}
		}
	})
}

// lastLook asks the record before a caller hears that the time is up: the
// answer may be there, and only its message lost.
func (c *Client) lastLook(ctx context.Context, service string, r *wire.Request) (wire.Reply, error) {
	if r.Safe() {
		return wire.Reply{}, ErrTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	state, err := lookUp(ctx, c.conn, service, r)
	if err != nil {
		c.conn.Log().WarnContext(ctx, "could not look up a request before its timeout",
			"service", service, "request", r.ID, "error", err)
		return wire.Reply{}, ErrTimeout
	}
	reply, err := state.answer()
	if errors.Is(err, errUnfinished) {
		return wire.Reply{}, ErrTimeout
	}
	return reply, err
}

// storedReply fetches an envelope that was too long to publish.
func (c *Client) storedReply(ctx context.Context, service string, r *wire.Request, hint wire.Reply) (wire.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	state, err := lookUp(ctx, c.conn, service, r)
	if err != nil {
		return wire.Reply{}, fmt.Errorf("%w: its stored reply could not be read: %w", ErrTimeout, err)
	}
	if state.outcome == "" {
		return wire.Reply{}, ErrReplyGone
	}
	reply, err := wire.ParseOutcome(state.outcome)
	reply.Meta, reply.Replayed = hint.Meta, hint.Replayed
	return reply, err
}
