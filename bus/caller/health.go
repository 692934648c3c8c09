package caller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/redismemory"
)

// maxMemoryShare is the share of Redis' memory above which new requests are refused.
// Ending the accepted requests needs the rest.
const maxMemoryShare = 0.8

// health tells whether Redis answers this process and allows what it does. Each
// interval it publishes a ping that the subscription must receive, and reads the
// clock and the memory of Redis; a gateway also reads the gateways' secret.
type health struct {
	conn     *bus.Conn
	channel  string // of the pings
	interval time.Duration
	secret   *secret       // nil unless the caller is a gateway
	pingNow  chan struct{} // capacity 1: ping before the interval ends
	changes  *notice

	suspectSince atomic.Int64          // unix ns since when Redis has not answered; 0: it answers
	full         atomic.Bool           // the memory of Redis is nearly full
	refusal      atomic.Pointer[error] // what Redis refuses this process; nil: nothing
	pingRefused  atomic.Bool           // Redis refused a command of the last ping
	evicts       atomic.Bool           // Redis may delete requests
	counts       healthCounts
}

// healthCounts is what a Health is made of.
type healthCounts struct {
	roundTrip, used, most       atomic.Int64 // ns, bytes, bytes
	pings, pongs, subscriptions atomic.Uint64
}

// Health describes the connection of a client to Redis.
type Health struct {
	// RoundTrip is the time of the last round trip; 0: not known.
	RoundTrip time.Duration
	// Pings is the number of pings on the reply channel, Pongs of those that came back.
	Pings, Pongs uint64
	// Subscriptions is the number of times that the reply subscription was opened.
	Subscriptions uint64
	// UsedMemory and MaxMemory are those of Redis, in bytes; 0: not known, or no limit.
	UsedMemory, MaxMemory int64
}

// Health returns the present state of the connection to Redis.
func (c *Client) Health() Health {
	n := &c.health.counts
	return Health{
		RoundTrip: time.Duration(n.roundTrip.Load()), Pings: n.pings.Load(), Pongs: n.pongs.Load(),
		Subscriptions: n.subscriptions.Load(), UsedMemory: n.used.Load(), MaxMemory: n.most.Load(),
	}
}

// memory returns the memory of Redis at the last ping.
func (h *health) memory() redismemory.Memory {
	return redismemory.Memory{Used: h.counts.used.Load(), Most: h.counts.most.Load()}
}

func newHealth(conn *bus.Conn, caller string, interval time.Duration) *health {
	h := &health{
		conn: conn, channel: conn.Keys.Ping(caller), interval: interval,
		pingNow: make(chan struct{}, 1), changes: newNotice(),
	}
	if strings.HasPrefix(caller, wire.RoleAPI+".") {
		h.secret = newSecret()
	}
	return h
}

// ok reports whether Redis answers and refuses nothing.
func (h *health) ok() bool { return !h.suspected() && h.refusal.Load() == nil }

func (h *health) suspected() bool { return h.suspectSince.Load() != 0 }

// refused returns what Redis refuses this process, or nil.
func (h *health) refused() error {
	if refusal := h.refusal.Load(); refusal != nil {
		return *refusal
	}
	return nil
}

// refuse records a refusal and wakes the goroutines in await.
func (h *health) refuse(err error) {
	h.refusal.Store(&err)
	h.changes.tell()
}

// suspect stops requests until the next ping is received: Redis did not answer
// a batch.
func (h *health) suspect() {
	h.suspectSince.CompareAndSwap(0, time.Now().UnixNano())
	select {
	case h.pingNow <- struct{}{}:
	default: // one is due already
	}
}

// pong ends a suspicion or a refusal, since a ping was received. It reports whether
// there was one: replies may have been lost meanwhile.
func (h *health) pong() bool {
	h.counts.pongs.Add(1)
	admitted := !h.pingRefused.Load() && h.refusal.Swap(nil) != nil
	recovered := h.suspectSince.Swap(0) != 0 || admitted
	if recovered {
		h.changes.tell()
	}
	return recovered
}

// awaitTrust waits until Redis is not suspected, at most the given time since the
// suspicion began, and reports whether that is so. The next ping ends it at once
// if only one connection was lost.
func (h *health) awaitTrust(maxWait time.Duration) bool {
	since := h.suspectSince.Load()
	if since == 0 {
		return true
	}
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, since).Add(maxWait))
	defer cancel()
	return h.await(ctx, func() bool { return !h.suspected() }) == nil
}

// await waits until the condition holds. It returns a refusal of Redis at once.
func (h *health) await(ctx context.Context, condition func() bool) error {
	for {
		changed := h.changes.next()
		if condition() {
			return nil
		}
		if err := h.refused(); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("not subscribed to replies at %s: %w", h.conn.Address(), ctx.Err())
		}
	}
}

// run pings each interval, and after suspect, until the context ends.
func (h *health) run(ctx context.Context) {
	timer := time.NewTimer(h.interval)
	defer timer.Stop()
	var checked time.Time
	for {
		wait := h.interval
		switch err := h.ping(ctx); {
		case err == nil && time.Since(checked) >= evictionEvery:
			checked = time.Now()
			h.checkEviction(ctx)
		case err != nil && ctx.Err() == nil && !errors.Is(err, redis.ErrClosed):
			h.conn.Log().DebugContext(ctx, "ping failed", "channel", h.channel, "error", err)
			wait /= 4 // callers wait for the next one
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-h.pingNow:
		case <-ctx.Done():
			return
		}
	}
}

// evictionEvery is the time between two looks whether Redis may delete requests.
const evictionEvery = 5 * time.Second

// checkEviction looks whether Redis may delete requests.
func (h *health) checkEviction(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, h.interval)
	defer cancel()
	err := h.conn.CheckEviction(ctx)
	evicts := errors.Is(err, bus.ErrEviction)
	if err != nil && !evicts || h.evicts.Swap(evicts) == evicts {
		return
	}
	if evicts {
		h.conn.Log().ErrorContext(ctx, "unsafe requests are refused", "error", err)
	} else {
		h.conn.Log().InfoContext(ctx, "Redis evicts nothing any more, unsafe requests are accepted")
	}
}

// ping publishes one ping and reads the clock, the memory and the secret in the
// same pipeline.
func (h *health) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.interval)
	defer cancel()
	sent, began := h.conn.Clock.Local(), time.Now()
	h.counts.pings.Add(1)
	pipe := h.conn.Redis().Pipeline()
	published := pipe.Publish(ctx, h.channel, "beat")
	clock := pipe.Time(ctx)
	info := pipe.Info(ctx, "memory") // some servers lack it, some users have no right to it
	required := []redis.Cmder{published, clock}
	var shared *redis.StringCmd
	if h.secret != nil {
		shared = h.secret.exchange(ctx, pipe, h.conn.Keys.Secret())
		required = append(required, shared)
	}
	if _, err := pipe.Exec(ctx); err != nil && !rediserr.IsServer(err) {
		return err
	}
	h.counts.roundTrip.Store(int64(time.Since(began)))
	if shared != nil {
		h.secret.learn(shared)
	}
	refusal := rediserr.FirstRefused(required...)
	if h.pingRefused.Store(refusal != nil); refusal != nil {
		h.refuse(refusal)
	}
	if clock.Err() == nil {
		h.conn.Clock.Adjust(sent, h.conn.Clock.Local(), clock.Val())
	}
	memory := redismemory.Of(info.Val())
	h.counts.used.Store(memory.Used)
	h.counts.most.Store(memory.Most)
	if full := memory.Over(maxMemoryShare); full != h.full.Swap(full) {
		h.conn.Log().WarnContext(ctx, "Redis memory limit for new requests crossed", "refusing", full)
	}
	return nil
}

// notice wakes all goroutines that wait for a change.
type notice struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced by tell
}

func newNotice() *notice { return &notice{changed: make(chan struct{})} }

// next returns a channel that the next change closes.
func (n *notice) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

func (n *notice) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.changed)
	n.changed = make(chan struct{})
}
