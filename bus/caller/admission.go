package caller

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// admission decides whether a mailbox takes one more request. It is honest: who
// would wait longer than its deadline allows is refused at once, and told when
// to come again, instead of filling the mailbox for nothing.
type admission struct {
	conn  *bus.Conn
	limit int64 // of every mailbox, in requests
	lane  int64 // of those that wait in one lane
	late  bool  // take also what cannot be answered in time

	mu        sync.Mutex
	mailboxes map[string]*mailbox
}

// mailbox is what is known of one.
type mailbox struct {
	length int64 // as the last batch found it
	seen   time.Time
	logged time.Time // when it was last logged that requests are refused
	flow   flow
}

func newAdmission(conn *bus.Conn, limit, lane int64, late bool) *admission {
	return &admission{conn: conn, limit: limit, lane: lane, late: late, mailboxes: make(map[string]*mailbox)}
}

// of finds a mailbox. Its caller holds the lock.
func (a *admission) of(service string) *mailbox {
	m := a.mailboxes[service]
	if m == nil {
		m = &mailbox{}
		a.mailboxes[service] = m
	}
	return m
}

// length is how many requests lie in a mailbox, as the last batch found it.
func (a *admission) length(service string) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of(service).length
}

func (a *admission) setLength(service string, n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.of(service)
	m.length, m.seen = n, time.Now()
}

// lengthAge is how long a mailbox that was full is believed to be.
const lengthAge = 100 * time.Millisecond

// lengthNow looks at a mailbox again that was full: no batch does so meanwhile.
func (a *admission) lengthNow(ctx context.Context, service string) int64 {
	a.mu.Lock()
	m := *a.of(service)
	a.mu.Unlock()
	if time.Since(m.seen) < lengthAge {
		return m.length
	}
	n, err := a.conn.Redis().XLen(ctx, a.conn.Keys.Requests(service)).Result()
	if err != nil {
		return m.length
	}
	a.setLength(service, n)
	return n
}

// limitOf is how long the mailbox may be for a request to be added to it: no
// longer than what workers do until its deadline, where that is known.
func (a *admission) limitOf(service string, r *wire.Request) int64 {
	if a.late || r.Deadline == 0 {
		return a.limit
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f := &a.of(service).flow
	rate := f.perSecond(time.Now())
	if rate == 0 {
		return a.limit
	}
	left := float64(r.Deadline-a.conn.Clock.Millis()) / 1000
	return max(1, min(a.limit, int64(rate*left)+f.pending()))
}

// Bounds of the time after which to come again.
const (
	minRetryAfter = time.Second
	maxRetryAfter = time.Minute
)

// overloaded is the error of a request that was not taken: its mailbox is longer
// than that request's limit. The log tells once a second.
func (a *admission) overloaded(service string, waiting, limit int64) error {
	now := time.Now()
	late := waiting < a.limit
	a.mu.Lock()
	m := a.of(service)
	rate := m.flow.perSecond(now)
	quiet := now.Sub(m.logged) < time.Second
	if !quiet {
		m.logged = now
	}
	a.mu.Unlock()
	after := minRetryAfter
	if rate > 0 { // until there is room for more than one
		after = time.Duration(float64(waiting-limit*9/10) / rate * float64(time.Second))
	}
	after = min(max(after, minRetryAfter), maxRetryAfter)
	if !quiet {
		a.conn.Log().Warn("more requests than are worked off, refusing some", "service", service, "waiting", waiting,
			"limit", limit, "too_late", late, "per_second", int64(rate), "retry_after", after)
	}
	return &OverloadedError{Service: service, Waiting: waiting, Late: late, RetryAfter: after}
}

// busyMailbox is how long a mailbox is before its flow is watched: shorter
// ones are worked off in no time, or their limit is far.
const busyMailbox = 100

// watch looks at the flow of long mailboxes until the context ends.
func (a *admission) watch(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			a.look(ctx, every)
		case <-ctx.Done():
			return
		}
	}
}

// look asks for the numbers of long mailboxes (XINFO STREAM, XINFO GROUPS). Where a
// server does not tell them, or forbids, no flow is known.
func (a *admission) look(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var busy []string
	a.mu.Lock()
	for service, m := range a.mailboxes {
		if m.length >= busyMailbox {
			busy = append(busy, service)
		} else {
			m.flow.forget()
		}
	}
	a.mu.Unlock()
	if len(busy) == 0 {
		return
	}
	pipe := a.conn.Redis().Pipeline()
	streams := make([]*redis.XInfoStreamCmd, len(busy))
	groups := make([]*redis.XInfoGroupsCmd, len(busy))
	for i, service := range busy {
		key := a.conn.Keys.Requests(service)
		streams[i], groups[i] = pipe.XInfoStream(ctx, key), pipe.XInfoGroups(ctx, key)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	now := time.Now()
	for i, service := range busy {
		stream := streams[i].Val()
		if stream == nil {
			continue
		}
		a.setLength(service, stream.Length)
		for _, g := range groups[i].Val() {
			if g.Name == wire.Group && stream.EntriesAdded > 0 {
				a.mu.Lock()
				a.of(service).flow.add(sample{
					at: now, ended: stream.EntriesAdded - stream.Length, unread: stream.Length - g.Pending, pending: g.Pending,
				})
				a.mu.Unlock()
			}
		}
	}
}

// flow is how fast a mailbox is worked off while more waits than is worked on.
type flow struct{ samples []sample }

// glance is one look at a mailbox.
type sample struct {
	at      time.Time
	ended   int64 // requests, since the mailbox was made
	unread  int64
	pending int64
}

// flowAge is how far back a flow goes.
const flowAge = 10 * time.Second

// add notes a look. Where nothing waits unread, workers would do more than they
// are asked to: how much is not known then.
func (f *flow) add(g sample) {
	if g.unread <= 0 {
		f.forget()
		return
	}
	f.samples = append(f.samples, g)
	for g.at.Sub(f.samples[0].at) > flowAge {
		f.samples = f.samples[1:]
	}
}

func (f *flow) forget() { f.samples = nil }

// pending is how many requests workers had at the last look.
func (f *flow) pending() int64 {
	if len(f.samples) == 0 {
		return 0
	}
	return f.samples[len(f.samples)-1].pending
}

// staleFlow is how old the last look may be for a flow to be believed.
const staleFlow = 5 * time.Second

// perSecond is how many requests are ended in a second: the better of all looks
// and the last two, since refusing too much is worse than too little. 0: not known.
func (f *flow) perSecond(now time.Time) float64 {
	last := len(f.samples) - 1
	if last < 1 || now.Sub(f.samples[last].at) > staleFlow {
		return 0
	}
	rate := func(from sample) float64 {
		to := f.samples[last]
		return float64(to.ended-from.ended) / to.at.Sub(from.at).Seconds()
	}
	return max(0, rate(f.samples[0]), rate(f.samples[last-1]))
}
