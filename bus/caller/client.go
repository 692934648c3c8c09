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
	// defaultStore is how long the outcome of an unsafe request is kept.
	defaultStore = 5 * time.Minute
	// defaultMailboxLimit is how many requests may wait for one service.
	defaultMailboxLimit = 100_000
	// defaultLaneLimit is how many requests may wait in one lane.
	defaultLaneLimit = 10_000
	// lanedReadStore is how long the outcome of a safe request with a lane is kept.
	lanedReadStore = time.Minute
)

// Call is one call of an action.
type Call struct {
	Service string
	Action  string
	// Args is a JSON array of the positional arguments; empty means none.
	Args string
	// ID is the correlation ID, a UUID. Defaults to a fresh UUIDv7.
	ID uuid.UUID
	// Shared reports that other callers may use the same ID, as with one
	// Idempotency-Key: the first request runs, and callers with an equal request get
	// its outcome. A caller with another request gets ErrKeyReused.
	Shared bool
	// Meta is the JSON object of metadata without the principal, or empty.
	Meta string
	// Principal is the principal of the call; nil: anonymous. Only this principal may
	// read the state of the request later.
	Principal *wire.Principal
	// Internal reports that another request makes this one, as its step or as the call of
	// its handler. No client may look up or cancel it.
	Internal bool
	// Timeout limits the wait for the reply and the time until the request begins.
	// Defaults to wire.DefaultTimeout.
	Timeout time.Duration
	// Endless removes the deadline of the request: it may begin at any time. Timeout
	// limits only the wait for the reply then.
	Endless bool
	// Safe reports that the action may run twice. An unsafe request keeps its outcome.
	Safe bool
	// Store is how long the outcome is kept. Defaults to 5 minutes, and to 1 minute
	// for a safe call with a lane.
	Store time.Duration
	// Lane is the ordering key: requests of one lane run one at a time, in the order
	// in which they are accepted. A call with a lane keeps its outcome even if it is
	// Safe. Defaults to none. See wire.Action.LaneOf.
	Lane string
	// Progress gets the reports of progress of the handler, as JSON. It must not block.
	// Defaults to nil: they are ignored.
	Progress func(text string)
}

// Config of a Client. The zero value is ready to use.
type Config struct {
	// Role is the first part of the caller's identifier: "api", or the name of
	// the service that calls. Defaults to wire.RoleAPI.
	Role string
	// MailboxLimit is how many requests may wait for one service before more
	// are refused with ErrOverloaded. Defaults to 100,000.
	MailboxLimit int64
	// LaneLimit is how many requests may wait in one lane before more are refused with
	// ErrOverloaded. MailboxLimit applies to all lanes of a service together.
	// Defaults to 10,000.
	LaneLimit int64
	// StoredLimit bounds the bytes that requests and their outcomes take in Redis for one
	// service; one principal may have a quarter of it, and all of it while no other has any.
	// More is refused with ErrStorageLimited. A tenth more is for principals within their
	// quarter. Negative: no limit. Defaults to 40 % of maxmemory; without maxmemory, to none.
	StoredLimit int64
	// AdmitLate also sends requests that, by the measured rate, no worker can begin
	// before their deadline. Defaults to false: they are refused with ErrOverloaded
	// and a RetryAfter.
	AdmitLate bool
	// MinReplicas is how many replicas of Redis must hold the outcome of an unsafe
	// request before its caller gets it, or AllReplicas. With fewer the caller gets
	// ErrNotReplicated, and while fewer are connected a request is refused with
	// ErrTooFewReplicas. Defaults to 0.
	MinReplicas int
	// ReplicaWait limits the wait for these replicas. Defaults to 1 s.
	ReplicaWait time.Duration
	// ReadyWait is how long a request waits for an unreachable Redis before it is
	// refused with ErrUnavailable. Defaults to 500 ms.
	ReadyWait time.Duration
	// Ping is the interval at which the client checks that its replies arrive and that
	// Redis answers; after three missed pings it subscribes again. Defaults to 1 s.
	Ping time.Duration
}

func (c *Config) setDefaults() {
	if c.Role == "" {
		c.Role = wire.RoleAPI
	}
	if c.MailboxLimit == 0 {
		c.MailboxLimit = defaultMailboxLimit
	}
	if c.LaneLimit == 0 {
		c.LaneLimit = defaultLaneLimit
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

// Client calls the actions of services. One is enough for a process: all callers
// share its reply subscription and its request writer. It is safe for concurrent use.
type Client struct {
	conn         *bus.Conn
	cfg          Config
	id           string
	waiters      *waiters
	health       *health
	subscription *subscription
	writer       *writer
	replication  *replication
	refusals     *refusals

	stop context.CancelFunc
	done sync.WaitGroup
}

// New starts a client. Close it after its last call.
func New(conn *bus.Conn, cfg Config) *Client {
	cfg.setDefaults()
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{
		conn: conn, cfg: cfg, id: cfg.Role + "." + token.New(token.NameBytes), waiters: newWaiters(), stop: stop,
		replication: newReplication(ctx, conn, &cfg), refusals: newRefusals(),
	}
	c.health = newHealth(conn, c.id, cfg.Ping)
	c.subscription = newSubscription(conn, c.id, c.health, c.waiters)
	stored := func() storedLimits { return newStoredLimits(cfg.StoredLimit, c.health.memory()) }
	admits := newAdmission(conn, cfg.MailboxLimit, cfg.LaneLimit, cfg.AdmitLate, stored)
	c.writer = newWriter(conn, c.waiters, c.health, admits, cfg.ReadyWait)
	sweep := newSweeper(conn, c.waiters, c.writer, c.subscription.sweep)
	c.done.Go(func() { c.subscription.run(ctx) })
	c.done.Go(func() { c.health.run(ctx) })
	c.done.Go(func() { sweep.run(ctx) })
	c.done.Go(func() { admits.watch(ctx, cfg.Ping) })
	for range writers {
		c.done.Go(func() { c.writer.run(ctx) })
	}
	return c
}

// ID returns the identifier of this client on the wire.
func (c *Client) ID() string { return c.id }

// Ready reports whether the client can call: Redis is reachable and replies arrive.
func (c *Client) Ready() bool { return c.subscription.ready() }

// WaitReady waits until the client is Ready or the context ends. If Redis refuses the
// client, it returns a bus.RefusedError at once.
func (c *Client) WaitReady(ctx context.Context) error { return c.subscription.waitReady(ctx) }

// Evicts reports whether Redis may delete requests when its memory is full: unsafe requests
// are refused with ErrMayEvict.
func (c *Client) Evicts() bool { return c.health.evicts.Load() }

// Refused returns what Redis refuses the client, a bus.RefusedError, or nil. The client
// retries at a longer interval and is not Ready meanwhile.
func (c *Client) Refused() error { return c.health.refused() }

// Close ends the client. Callers that still wait get ErrClosed.
func (c *Client) Close() {
	c.stop()
	c.done.Wait()
	c.replication.close()
	c.waiters.failAll(ErrClosed)
}

// Do calls an action and waits for the reply. An error of the service is a reply: the
// envelope holds it, and Do returns no error. Do's own errors are ErrUnavailable, ErrTooFewReplicas,
// ErrMayEvict and ErrOverloaded (not accepted), ErrTimeout and ErrNotReplicated (outcome unknown, call
// again with the same ID), ErrExpired, ErrCancelled, ErrDead, ErrKeyReused,
// ErrClosed and the context's. Do retries a safe call that could not be
// sent, for up to 400 ms and within its Timeout.
func (c *Client) Do(ctx context.Context, call *Call) (wire.Reply, error) {
	return retry(ctx, call, c.once)
}

// once makes one attempt.
func (c *Client) once(ctx context.Context, call *Call) (wire.Reply, error) {
	channel, err := c.listen(ctx, call.Service)
	if err != nil {
		return wire.Reply{}, err
	}
	id, timeout, err := c.admit(ctx, call)
	if err != nil {
		return wire.Reply{}, err
	}
	request := c.request(id, channel, call, timeout)
	if err := c.storesTooMuch(ctx, call.Service, request); err != nil {
		return wire.Reply{}, err
	}
	w := c.waiters.get(call.Service, request, purpose{shared: call.Shared, progress: call.Progress})
	c.waiters.add(id, w)
	c.writer.add(outgoing{service: call.Service, id: id, request: request})
	r, err := c.waiters.wait(ctx, id, w, timeout)
	if err != nil {
		return wire.Reply{}, err
	}
	reply, err := r.reply, r.err
	c.remember(request, err)
	switch {
	case r.timeout:
		reply, err = c.lastLook(ctx, call.Service, request)
	case err == nil && reply.Stored():
		reply, err = c.storedReply(ctx, call.Service, request, reply)
	}
	if err == nil && !call.Safe {
		err = c.replication.confirm(ctx, call.Service, request, ended(wire.StateDone, reply.Envelope))
	}
	if err != nil {
		return wire.Reply{}, err
	}
	return reply, nil
}

// admit returns the ID and the timeout of a call, or refuses it while the memory of
// Redis is nearly full, or too few replicas could store the outcome.
func (c *Client) admit(ctx context.Context, call *Call) (uuid.UUID, time.Duration, error) {
	if c.health.full.Load() {
		return uuid.Nil, 0, &OverloadedError{Service: call.Service, RetryAfter: time.Second}
	}
	if !call.Safe {
		if c.health.evicts.Load() {
			return uuid.Nil, 0, ErrMayEvict
		}
		if err := c.replication.admit(ctx, call.Service); err != nil {
			return uuid.Nil, 0, err
		}
	}
	id, timeout := call.ID, call.Timeout
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

// listen subscribes to the replies of a service and returns their channel. A request
// is sent only after that.
func (c *Client) listen(ctx context.Context, service string) (string, error) {
	if channel := c.subscription.channel(service); channel != "" {
		return channel, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ReadyWait)
	defer cancel()
	channel, err := c.subscription.listen(ctx, service)
	if err != nil {
		return "", &notSentError{Cause: err}
	}
	return channel, nil
}

func (c *Client) request(id uuid.UUID, channel string, call *Call, timeout time.Duration) *wire.Request {
	r := &wire.Request{
		ID: id.String(), Action: call.Action, Args: call.Args, Meta: call.Principal.AddTo(call.Meta),
		Reply: channel, PrincipalKey: call.Principal.Key(), Internal: call.Internal,
	}
	if !call.Endless {
		r.Deadline = c.conn.Clock.Now().Add(timeout).UnixMilli()
	}
	if r.Args == "" {
		r.Args = "[]"
	}
	if !call.Safe || call.Lane != "" {
		r.Store, r.Lane = call.store().Milliseconds(), call.Lane
		r.Fingerprint() // computed now, since other goroutines will read it
	}
	return r
}

// store returns how long the outcome is kept.
func (c *Call) store() time.Duration {
	switch {
	case c.Store >= time.Millisecond:
		return c.Store
	case c.Safe:
		return lanedReadStore
	default:
		return defaultStore
	}
}

// lastLook reads the record before a caller gets ErrTimeout: the outcome may be
// stored, and only its message lost.
func (c *Client) lastLook(ctx context.Context, service string, r *wire.Request) (wire.Reply, error) {
	if r.Safe() {
		return wire.Reply{}, ErrTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	state, err := lookUp(ctx, c.conn, service, r)
	if err != nil {
		c.conn.Log().With(r.LogIDs()).WarnContext(ctx, "lookup before timeout failed",
			"service", service, "error", err)
		return wire.Reply{}, ErrTimeout
	}
	reply, err := state.answer()
	if errors.Is(err, errUnfinished) {
		return wire.Reply{}, ErrTimeout
	}
	return reply, err
}

// storedReply reads an envelope that was too long to publish.
func (c *Client) storedReply(ctx context.Context, service string, r *wire.Request, hint wire.Reply) (wire.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	state, err := lookUp(ctx, c.conn, service, r)
	if err != nil {
		return wire.Reply{}, fmt.Errorf("%w: read the stored reply: %w", ErrTimeout, err)
	}
	if state.outcome == "" {
		return wire.Reply{}, errReplyGone
	}
	if !r.Safe() {
		state.outcome, err = state.whole(ctx, c.conn, service, r.ID)
		if err != nil {
			return wire.Reply{}, fmt.Errorf("%w: read the stored reply: %w", ErrTimeout, err)
		}
	}
	reply, err := wire.ParseOutcome(state.outcome)
	if reply.Replayed = hint.Replayed; hint.Meta != "" {
		reply.Meta = hint.Meta
	}
	if r.Safe() { // nobody else reads it
		_ = c.conn.Redis().Del(ctx, c.conn.Keys.Record(service, r.ID)).Err() // it expires within a minute
	}
	return reply, err
}
