package caller

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// admission decides whether a mailbox takes one more request. It refuses a request that
// would wait beyond its deadline at once, with a time after which to retry.
type admission struct {
	conn   *bus.Conn
	limit  int64               // of every mailbox, in requests
	lane   int64               // of the requests that wait in one lane
	late   bool                // accept requests that cannot begin before their deadline
	stored func() storedLimits // the present limits

	mu        sync.Mutex
	mailboxes map[string]*mailbox
}

// mailbox is the known state of one mailbox.
type mailbox struct {
	length int64 // when it was last read
	seen   time.Time
	logged time.Time // of the last warning about refused requests
	flow   flow
}

func newAdmission(conn *bus.Conn, limit, lane int64, late bool, stored func() storedLimits) *admission {
	return &admission{conn: conn, limit: limit, lane: lane, late: late, stored: stored, mailboxes: make(map[string]*mailbox)}
}

// of returns the mailbox of a service. Its caller holds the lock.
func (a *admission) of(service string) *mailbox {
	m := a.mailboxes[service]
	if m == nil {
		m = &mailbox{}
		a.mailboxes[service] = m
	}
	return m
}

// length returns the length of a mailbox when it was last read.
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

// lengthAge is how long the length of a full mailbox counts as current.
const lengthAge = 100 * time.Millisecond

// lengthNow reads the length of a full mailbox again, since no batch does that while
// requests are refused.
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

// limitOf returns the length at which the mailbox takes the request no more: the limit
// of mailboxes or, if the rate is known, what workers end before its deadline.
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

// Bounds of RetryAfter.
const (
	minRetryAfter = time.Second
	maxRetryAfter = time.Minute
)

// overloaded returns the error of a request whose mailbox is longer than the request's
// limit. It logs a warning at most once a second.
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
	if rate > 0 { // until a tenth of the limit is free
		after = time.Duration(float64(waiting-limit*9/10) / rate * float64(time.Second))
	}
	after = min(max(after, minRetryAfter), maxRetryAfter)
	if !quiet {
		a.conn.Log().Warn("mailbox overloaded, refusing requests", "service", service, "waiting", waiting,
			"limit", limit, "too_late", late, "per_second", int64(rate), "retry_after", after)
	}
	return &OverloadedError{Service: service, Waiting: waiting, Late: late, RetryAfter: after}
}

// busyMailbox is the length from which the flow of a mailbox is measured. A shorter
// one is emptied at once or far from its limit.
const busyMailbox = 100

// watch measures the flow of long mailboxes until the context ends.
func (a *admission) watch(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			a.measure(ctx, every)
		case <-ctx.Done():
			return
		}
	}
}

// measure samples all long mailboxes (XINFO STREAM, XINFO GROUPS). If the server does
// not support or allow that, no flow is known.
func (a *admission) measure(ctx context.Context, maxWait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
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

// flow is the rate at which workers end the requests of a busy mailbox.
type flow struct{ samples []sample }

// sample is one measurement of a mailbox.
type sample struct {
	at      time.Time
	ended   int64 // requests since the mailbox was created
	unread  int64
	pending int64
}

// flowAge is the age from which samples are dropped.
const flowAge = 10 * time.Second

// add adds a sample. If no request is unread, the workers are not at capacity, and the
// rate says nothing about it: the flow starts anew.
func (f *flow) add(s sample) {
	if s.unread <= 0 {
		f.forget()
		return
	}
	f.samples = append(f.samples, s)
	for s.at.Sub(f.samples[0].at) > flowAge {
		f.samples = f.samples[1:]
	}
}

func (f *flow) forget() { f.samples = nil }

// pending returns how many requests workers had in the last sample.
func (f *flow) pending() int64 {
	if len(f.samples) == 0 {
		return 0
	}
	return f.samples[len(f.samples)-1].pending
}

// staleFlow is the age of the last sample from which the flow is unknown.
const staleFlow = 5 * time.Second

// perSecond returns how many requests end in a second; 0: not known. It is the higher
// rate of all samples and of the last two, since refusing too many requests is worse
// than refusing too few.
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
