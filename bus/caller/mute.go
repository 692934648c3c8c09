package caller

import (
	"errors"
	"maps"
	"time"

	"github.com/oskadev/mailroom/internal/lograte"
)

// Limits of what a service may publish to this process in a second without waking a waiter:
// what is no reply, replies that nobody waits for, progress. All services share one
// connection, so that a flood of one of them delays the replies of the others.
const (
	maxWastedLines = 50_000
	maxWastedBytes = maxMessage + 8<<20
	wasteWindow    = time.Second
)

// muteTime is how long a process does not listen to a service that exceeds these limits.
const muteTime = 10 * time.Second

var errMuted = errors.New("the service floods the channel of its replies, and is not listened to for a while")

// waste counts what one service publishes without waking a waiter. The goroutine of the
// session owns it.
type waste struct {
	began time.Time
	lines int
	bytes int
}

// add counts lines, and reports whether they exceed the limits.
func (w *waste) add(now time.Time, lines, bytes int) (exceeded bool) {
	if now.Sub(w.began) >= wasteWindow {
		*w = waste{began: now}
	}
	w.lines += lines
	w.bytes += bytes
	return w.lines > maxWastedLines || w.bytes > maxWastedBytes
}

// mutes are the channels that are not listened to, with their ends. The lock of the
// subscription guards them.
type mutes struct {
	until map[string]time.Time
	time  time.Duration
	logs  lograte.Limiter
}

func newMutes() mutes { return mutes{until: make(map[string]time.Time), time: muteTime} }

// of reports whether a channel is muted now, and whether it was until now and has to be
// subscribed again.
func (m *mutes) of(channel string, now time.Time) (muted, again bool) {
	until, found := m.until[channel]
	if !found || now.Before(until) {
		return found, false
	}
	delete(m.until, channel)
	return false, true
}

// mute ends the subscription of one channel for a while. listen subscribes to it again.
func (s *subscription) mute(current *session, channel string) {
	s.mu.Lock()
	service, socket := s.services[channel], s.socket
	s.mutes.until[channel] = time.Now().Add(s.mutes.time)
	s.mu.Unlock()
	heard := maps.Clone(current.heard) // other goroutines read the published one
	delete(heard, service)
	current.heard = heard
	if current.awaited <= 0 {
		s.announce(true, heard)
	}
	if socket != nil {
		go s.send(socket, "unsubscribe", channel)
	}
	s.mutes.logs.Warn(s.conn.Log(), "a service floods the channel of its replies, not listening to it", "service", service, "for", s.mutes.time)
}
