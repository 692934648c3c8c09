package caller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/redismemory"
	"github.com/oskadev/mailroom/internal/resp"
)

// missedBeats in a row mean that the subscription is deaf, whatever the
// connection says about itself.
const missedBeats = 3

// memoryShare is how much of its memory Redis may use before nothing new is
// admitted: what has been admitted still has to be ended, and that writes too.
const memoryShare = 0.8

// replies is the one subscription of a process: it hears the replies of every
// service that was ever asked, and itself each beat.
type replies struct {
	conn    *bus.Conn
	asker   string
	every   time.Duration
	waiters *waiters
	secret  *secret       // nil: no gateway's
	sweep   chan struct{} // capacity 1: answers may have been lost
	beatNow chan struct{} // capacity 1: do not wait for the time of the next beat

	mu       sync.Mutex
	services map[string]string                 // channel → service, of what is wanted
	socket   net.Conn                          // the present session's; nil between two
	changed  chan struct{}                     // closed and renewed when heard or ready changes
	heard    atomic.Pointer[map[string]string] // service → channel, of what is confirmed
	ready    atomic.Bool
	doubtful atomic.Bool  // Redis did not answer; until the next beat is heard
	since    atomic.Int64 // when that was, unix ns
	full     atomic.Bool  // Redis' memory is nearly full

	refusal     atomic.Pointer[error] // what Redis refuses this process, until it does so no more
	beatRefused atomic.Bool           // at the last beat
}

func newReplies(conn *bus.Conn, asker string, every time.Duration, w *waiters) *replies {
	r := &replies{
		conn: conn, asker: asker, every: every, waiters: w, sweep: make(chan struct{}, 1), beatNow: make(chan struct{}, 1),
		services: make(map[string]string), changed: make(chan struct{}),
	}
	r.heard.Store(&map[string]string{})
	if strings.HasPrefix(asker, wire.RoleAPI+".") {
		r.secret = newSecret()
	}
	return r
}

func (r *replies) isReady() bool {
	return r.ready.Load() && !r.doubtful.Load() && r.refusal.Load() == nil
}

// refused notes a refusal, and tells those who wait.
func (r *replies) refused(err error) {
	r.refusal.Store(&err)
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.changed)
	r.changed = make(chan struct{})
}

// doubt stops requests until the next beat has come through: Redis takes what
// is sent, and does not answer.
func (r *replies) doubt() {
	if r.doubtful.CompareAndSwap(false, true) {
		r.since.Store(time.Now().UnixNano())
	}
	select {
	case r.beatNow <- struct{}{}:
	default: // one is wanted already
	}
}

// awaitCertain waits for the end of a doubt, for so long since it began: where
// one connection was lost and no more, the next beat ends it at once.
func (r *replies) awaitCertain(most time.Duration) bool {
	certain := func() bool { return !r.doubtful.Load() }
	if certain() {
		return true
	}
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, r.since.Load()).Add(most))
	defer cancel()
	return r.await(ctx, certain) == nil
}

// channel is where replies of the service would arrive now; empty: nowhere.
func (r *replies) channel(service string) string {
	if !r.isReady() {
		return ""
	}
	return (*r.heard.Load())[service]
}

// listen subscribes to the replies of a service and waits for Redis to confirm.
func (r *replies) listen(ctx context.Context, service string) error {
	channel := r.conn.Keys.Replies(r.asker, service)
	r.mu.Lock()
	_, known := r.services[channel]
	r.services[channel] = service
	socket := r.socket
	r.mu.Unlock()
	if !known && socket != nil {
		// It may hang where Redis does. An error shows in the session's next
		// read, which starts it anew.
		go r.subscribe(socket, channel)
	}
	return r.await(ctx, func() bool { return r.channel(service) != "" })
}

// subscribe adds a channel to the present session. Where that fails the session ends.
func (r *replies) subscribe(socket net.Conn, channel string) {
	var out resp.Commands
	out.Add("subscribe", channel)
	err := socket.SetWriteDeadline(time.Now().Add(r.conn.Timeout())) // that of the session's own has passed
	if err == nil {
		_, err = socket.Write(out.Bytes())
	}
	if err != nil {
		_ = socket.Close()
	}
}

func (r *replies) waitReady(ctx context.Context) error { return r.await(ctx, r.isReady) }

func (r *replies) await(ctx context.Context, ok func() bool) error {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if ok() {
			return nil
		}
		if refusal := r.refusal.Load(); refusal != nil {
			return *refusal
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("not subscribed to replies at %s: %w", r.conn.Address(), ctx.Err())
		}
	}
}

// announce publishes a change of what is heard to those who await it.
func (r *replies) announce(ready bool, heard map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard.Store(&heard)
	r.ready.Store(ready)
	close(r.changed)
	r.changed = make(chan struct{})
}

// certain ends a doubt, or a refusal: a beat has come through.
func (r *replies) certain() {
	admitted := !r.beatRefused.Load() && r.refusal.Swap(nil) != nil
	if r.doubtful.CompareAndSwap(true, false) || admitted {
		r.wantSweep()
		r.mu.Lock()
		defer r.mu.Unlock()
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// refusedWait is how long Redis is left alone that refuses this process.
const refusedWait = time.Second

// run keeps a session going until the context ends.
func (r *replies) run(ctx context.Context) {
	waits := backoff.New(50*time.Millisecond, time.Second)
	p := r.conn.NewPipeline()
	defer p.Close()
	for ctx.Err() == nil {
		err := r.session(ctx, p, waits)
		r.announce(false, map[string]string{})
		if ctx.Err() != nil {
			return
		}
		wait := waits.Next()
		if rediserr.IsRefused(err) {
			r.refused(err)
		}
		if r.refusal.Load() != nil { // which is told elsewhere, and not each time
			wait = max(wait, refusedWait)
		} else {
			r.conn.Log().WarnContext(ctx, "subscription to replies lost, subscribing anew",
				"asker", r.asker, "error", err, "retry_in", wait)
		}
		_ = backoff.Pause(ctx, wait) // the loop looks at the context
	}
}

// session subscribes and dispatches until something is wrong.
func (r *replies) session(ctx context.Context, p *resp.Pipeline, waits *backoff.Backoff) error {
	beatChannel := r.conn.Keys.Ping(r.asker)
	k, err := p.Conn(ctx, beatChannel)
	if err != nil {
		return err
	}
	r.mu.Lock()
	channels := []string{"subscribe", beatChannel}
	for channel := range r.services {
		channels = append(channels, channel)
	}
	socket := k.Net()
	r.socket = socket
	r.mu.Unlock()
	// A blocked read does not see the context end; a closed connection it does.
	unwatch := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer func() {
		unwatch()
		r.mu.Lock()
		r.socket = nil
		r.mu.Unlock()
		k.Drop()
	}()

	k.Out.Add(channels...)
	err = k.Send(missedBeats * r.every)
	k.Out.Reset()
	s := &session{awaited: len(channels) - 1, heard: make(map[string]string), waits: waits, beat: beatChannel}
	for err == nil {
		var messages []string
		if messages, err = k.Receive(1, missedBeats*r.every); err == nil {
			err = r.hear(s, messages[0])
		}
	}
	return r.conn.Explain(err, "subscribe", beatChannel)
}

// session is one subscription.
type session struct {
	beat    string // the channel of beats
	awaited int    // confirmations
	heard   map[string]string
	waits   *backoff.Backoff
}

// hear takes one message: what it is, its channel, and what it says.
func (r *replies) hear(s *session, message string) error {
	words, err := resp.Words(message)
	if err != nil {
		return err
	}
	if len(words) != 3 {
		return resp.ErrProtocol
	}
	kind, channel, payload := words[0], words[1], words[2]
	switch {
	case kind == "message" && channel == s.beat:
		r.certain()
	case kind == "message":
		r.dispatch(channel, payload)
	case kind != "subscribe":
		return fmt.Errorf("unasked %s of %s", kind, channel)
	default:
		s.awaited--
		s.heard = r.confirmed(channel, s.heard, s.awaited <= 0)
		if s.awaited == 0 {
			s.waits.Reset()
			r.wantSweep()
		}
	}
	return nil
}

// confirmed notes one confirmed channel. The map that was published before is
// not changed: others read it.
func (r *replies) confirmed(channel string, heard map[string]string, all bool) map[string]string {
	next := make(map[string]string, len(heard)+1)
	maps.Copy(next, heard)
	r.mu.Lock()
	if service, ok := r.services[channel]; ok {
		next[service] = channel
	}
	r.mu.Unlock()
	if all {
		r.announce(true, next)
	}
	return next
}

func (r *replies) wantSweep() {
	select {
	case r.sweep <- struct{}{}:
	default: // one is wanted already
	}
}

// dispatch wakes the waiters of the lines of one message. It never blocks:
// whoever waits has room for its one result.
func (r *replies) dispatch(channel, payload string) {
	r.mu.Lock()
	service, ok := r.services[channel]
	r.mu.Unlock()
	if !ok {
		return
	}
	for line := range strings.SplitSeq(payload, "\n") {
		if line == "" {
			continue
		}
		name, reply, err := wire.ParseReplyLine(line)
		var id uuid.UUID
		if err == nil {
			id, err = uuid.Parse(name)
		}
		if err != nil {
			r.conn.Log().Warn("dropped a reply that cannot be read", "service", service, "error", err)
			continue
		}
		r.conn.Hook.At(bus.StepReply, name)
		r.waiters.wake(id, service, reply)
	}
}

// beat publishes to the own channel, so that a deaf subscription shows, and
// keeps the clock right.
func (r *replies) beat(ctx context.Context) {
	ticker := time.NewTicker(r.every)
	defer ticker.Stop()
	channel := r.conn.Keys.Ping(r.asker)
	for {
		if err := r.beatOnce(ctx, channel); err != nil && ctx.Err() == nil && !errors.Is(err, redis.ErrClosed) {
			r.conn.Log().DebugContext(ctx, "beat failed", "error", err)
		}
		select {
		case <-ticker.C:
		case <-r.beatNow:
		case <-ctx.Done():
			return
		}
	}
}

func (r *replies) beatOnce(ctx context.Context, channel string) error {
	ctx, cancel := context.WithTimeout(ctx, r.every)
	defer cancel()
	sent := r.conn.Clock.Local()
	pipe := r.conn.Redis().Pipeline()
	heard := pipe.Publish(ctx, channel, "beat")
	clock := pipe.Time(ctx)
	info := pipe.Info(ctx, "memory") // not every server has it, nor every user the right to it
	var shared *redis.StringCmd      // of gateways
	if r.secret != nil {
		shared = r.secret.ask(ctx, pipe, r.conn.Keys.Secret())
	}
	if _, err := pipe.Exec(ctx); err != nil && !rediserr.IsServer(err) {
		return err
	}
	asked := []redis.Cmder{heard, clock}
	if shared != nil {
		r.secret.learn(shared)
		asked = append(asked, shared)
	}
	refusal := rediserr.FirstRefused(asked...)
	if r.beatRefused.Store(refusal != nil); refusal != nil {
		r.refused(refusal)
	}
	if clock.Err() == nil {
		r.conn.Clock.Adjust(sent, r.conn.Clock.Local(), clock.Val())
	}
	if full := redismemory.Of(info.Val()).Over(memoryShare); full != r.full.Swap(full) {
		r.conn.Log().WarnContext(ctx, "Redis' memory is nearly full: new requests are refused, or are no longer", "refused", full)
	}
	return nil
}
