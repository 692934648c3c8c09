package caller

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/lograte"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/resp"
)

// maxMissedPings is the number of missed pings in a row after which the
// subscription is renewed, even if its connection seems to be open.
const maxMissedPings = 3

// Limits of what a service publishes, in bytes. A message holds at most 256 lines, and a reply
// over wire.LargeReply is stored.
const (
	maxMessage = 256 * (wire.LargeReply + 4<<10)
	maxLine    = wire.MaxReply
)

// refusedWait is the least time between two sessions while Redis refuses this
// process.
const refusedWait = time.Second

// subscription is the one reply subscription of a process. It receives the replies
// of every service that the process has called, and the process's own pings.
type subscription struct {
	conn    *bus.Conn
	caller  string
	health  *health
	waiters *waiters
	sweep   chan struct{} // capacity 1: replies may have been lost

	mu       sync.Mutex
	services map[string]string // channel → service, of all wanted channels
	mutes    mutes
	socket   net.Conn                          // of the present session; nil between two
	heard    atomic.Pointer[map[string]string] // service → channel, of the confirmed ones
	live     atomic.Bool                       // the session has confirmed its first channels
	logs     lograte.Limiter                   // lines about unreadable replies
}

func newSubscription(conn *bus.Conn, caller string, h *health, w *waiters) *subscription {
	s := &subscription{
		conn: conn, caller: caller, health: h, waiters: w,
		sweep: make(chan struct{}, 1), services: make(map[string]string), mutes: newMutes(),
	}
	s.heard.Store(&map[string]string{})
	return s
}

// ready reports whether replies arrive and Redis is healthy.
func (s *subscription) ready() bool { return s.live.Load() && s.health.ok() }

func (s *subscription) waitReady(ctx context.Context) error { return s.health.await(ctx, s.ready) }

// channel returns the channel on which replies of the service arrive now; empty: none.
func (s *subscription) channel(service string) string {
	if !s.ready() {
		return ""
	}
	return (*s.heard.Load())[service]
}

// listen subscribes to the replies of a service, waits for Redis to confirm it and
// returns the channel. It returns errMuted at once for a service that floods its channel.
func (s *subscription) listen(ctx context.Context, service string) (string, error) {
	channel := s.conn.Keys.Replies(s.caller, service)
	s.mu.Lock()
	_, known := s.services[channel]
	s.services[channel] = service
	socket := s.socket
	muted, again := s.mutes.of(channel, time.Now())
	s.mu.Unlock()
	if muted {
		return "", errMuted
	}
	if (!known || again) && socket != nil {
		// The write may block. Its error ends the session, which then starts anew.
		go s.send(socket, "subscribe", channel)
	}
	return channel, s.health.await(ctx, func() bool { return s.channel(service) != "" })
}

// send adds a channel to the present session or removes it. A failed write ends the session.
func (s *subscription) send(socket net.Conn, command, channel string) {
	var out resp.Commands
	out.Add(command, channel)
	err := socket.SetWriteDeadline(time.Now().Add(s.conn.Timeout())) // the session's own has passed
	if err == nil {
		_, err = socket.Write(out.Bytes())
	}
	if err != nil {
		_ = socket.Close()
	}
}

// announce publishes the confirmed channels and wakes the goroutines in await.
func (s *subscription) announce(live bool, heard map[string]string) {
	s.heard.Store(&heard)
	s.live.Store(live)
	s.health.changes.tell()
}

// run keeps one session open until the context ends.
func (s *subscription) run(ctx context.Context) {
	waits := backoff.New(50*time.Millisecond, 500*time.Millisecond)
	p := s.conn.NewBoundedPipeline(resp.Limits{String: maxMessage})
	defer p.Close()
	for ctx.Err() == nil {
		err := s.runSession(ctx, p, waits)
		s.announce(false, map[string]string{})
		if ctx.Err() != nil {
			return
		}
		wait := waits.Next()
		if rediserr.IsRefused(err) {
			s.health.refuse(err)
		}
		if s.health.refused() != nil { // the process reports a refusal itself, once
			wait = max(wait, refusedWait)
		} else {
			s.conn.Log().WarnContext(ctx, "reply subscription lost, resubscribing", "caller", s.caller, "error", err, "retry_in", wait)
		}
		_ = backoff.Pause(ctx, wait) // the loop checks the context
	}
}

// runSession subscribes and dispatches messages until an error occurs.
func (s *subscription) runSession(ctx context.Context, p *resp.Pipeline, waits *backoff.Backoff) error {
	ping := s.health.channel
	k, err := p.Conn(ctx, ping)
	if err != nil {
		return err
	}
	s.mu.Lock()
	channels := []string{"subscribe", ping}
	for channel := range s.services {
		if muted, _ := s.mutes.of(channel, time.Now()); !muted {
			channels = append(channels, channel)
		}
	}
	socket := k.Net()
	s.socket = socket
	s.mu.Unlock()
	// A blocked read ends when the connection is closed, not when the context ends.
	unwatch := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer func() {
		unwatch()
		s.mu.Lock()
		s.socket = nil
		s.mu.Unlock()
		k.Drop()
	}()

	maxSilence := maxMissedPings * s.health.interval
	k.Out.Add(channels...)
	err = k.Send(maxSilence)
	k.Out.Reset()
	current := &session{awaited: len(channels) - 1, heard: make(map[string]string), waits: waits, wastes: make(map[string]*waste)}
	for err == nil {
		var messages []string
		if messages, err = k.Receive(1, maxSilence); err == nil {
			err = s.receive(current, messages[0])
		}
	}
	return s.conn.Explain(err, "subscribe", ping)
}

// session is the state of one connection.
type session struct {
	awaited int // confirmations of the first channels
	heard   map[string]string
	waits   *backoff.Backoff  // reset once the session is live
	wastes  map[string]*waste // by channel
}

// receive handles one message: its kind, its channel and its payload.
func (s *subscription) receive(current *session, message string) error {
	words, err := resp.Words(message)
	if err != nil {
		return err
	}
	if len(words) != 3 {
		return resp.ErrProtocol
	}
	kind, channel, payload := words[0], words[1], words[2]
	switch {
	case kind == "message" && channel == s.health.channel:
		if s.health.pong() {
			s.wantSweep()
		}
	case kind == "message":
		s.receiveReplies(current, channel, payload)
	case kind == "unsubscribe": // of a muted channel
	case kind != "subscribe":
		return fmt.Errorf("unexpected message %s of channel %s", kind, channel)
	default:
		current.awaited--
		current.heard = s.confirmed(channel, current.heard, current.awaited <= 0)
		if current.awaited == 0 {
			current.waits.Reset()
			s.health.counts.subscriptions.Add(1)
			s.wantSweep()
		}
	}
	return nil
}

// confirmed returns the confirmed channels with one more. It copies the map, since
// other goroutines read the published one.
func (s *subscription) confirmed(channel string, heard map[string]string, all bool) map[string]string {
	next := make(map[string]string, len(heard)+1)
	maps.Copy(next, heard)
	s.mu.Lock()
	if service, ok := s.services[channel]; ok {
		next[service] = channel
	}
	s.mu.Unlock()
	if all {
		s.announce(true, next)
	}
	return next
}

func (s *subscription) wantSweep() {
	select {
	case s.sweep <- struct{}{}:
	default: // one is due already
	}
}

// receiveReplies handles one message of a service. A service that publishes too much that
// wakes no waiter is muted.
func (s *subscription) receiveReplies(current *session, channel, payload string) {
	s.mu.Lock()
	service, ok := s.services[channel]
	if ok {
		muted, _ := s.mutes.of(channel, time.Now())
		ok = !muted
	}
	s.mu.Unlock()
	if !ok {
		return
	}
	w := current.wastes[channel]
	if w == nil {
		w = &waste{}
		current.wastes[channel] = w
	}
	if s.dispatch(service, payload, w) {
		s.mute(current, channel)
	}
}

// dispatch wakes the waiters of all reply lines in one message. It never blocks: each waiter
// has room for its one result. It reports whether the service exceeds the limits of waste.
func (s *subscription) dispatch(service, payload string, w *waste) (exceeded bool) {
	now := time.Now()
	if payload == "" { // as one over the limit is read; no worker sends it
		s.unreadable(service, errMessageLong)
		return w.add(now, 1, maxMessage)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(payload, "\n"), "\n") {
		if !s.wakes(service, line) && w.add(now, 1, len(line)) {
			return true
		}
	}
	return false
}

// wakes handles one reply line, and reports whether it woke a waiter.
func (s *subscription) wakes(service, line string) bool {
	if len(line) > maxLine {
		s.unreadable(service, errLineLong)
		return false
	}
	name, reply, err := wire.ParseReplyLine(line)
	var id uuid.UUID
	name, progress := wire.CutProgress(name)
	if err == nil {
		id, err = uuid.Parse(name)
	}
	if err != nil {
		s.unreadable(service, err)
		return false
	}
	if progress {
		s.waiters.report(id, service, reply.Envelope)
		return false
	}
	s.conn.Hook.At(bus.StepReply, name)
	return s.waiters.wake(id, service, reply)
}

var (
	errMessageLong = fmt.Errorf("a message is empty or longer than %d bytes", maxMessage)
	errLineLong    = fmt.Errorf("a line is longer than %d bytes", maxLine)
)

// unreadable logs a reply that is dropped.
func (s *subscription) unreadable(service string, err error) {
	s.logs.Warn(s.conn.Log(), "dropped an unreadable reply", "service", service, "error", err)
}
