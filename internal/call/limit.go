package call

import (
	"context"
	"sync"
	"time"
)

// Limit bounds the calls in flight of each place, a service or a composition, so that a slow
// service does not use up the memory of the process. It shares each place between the
// principals that call it. It is safe for concurrent use.
//
// A principal that is alone may use all of a place. While others call too, it may have a
// quarter of the calls. Of these, only so many are sent as do not delay the others; the rest wait
// here, and not in the mailbox before the calls of others.
type Limit struct {
	max    int
	now    func() time.Time
	places sync.Map // name → *place
}

// NewLimit returns a limit of max calls for each place.
func NewLimit(max int64) *Limit { return &Limit{max: int(max), now: time.Now} }

// Enter counts a call of a principal, and waits while the principal has its share of the
// calls. It returns false if the limit is reached, the time is over or the context ends. After
// true the caller must call Leave.
func (l *Limit) Enter(ctx context.Context, name, principal string, until time.Duration) bool {
	p := l.of(name)
	turn, ok := p.enter(l, principal)
	if turn == nil {
		return ok
	}
	timer := time.NewTimer(until)
	defer timer.Stop()
	select {
	case <-turn:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return !p.giveUp(principal, turn)
}

// Leave ends a call that Enter counted.
func (l *Limit) Leave(name, principal string) { l.of(name).leave(l, principal) }

// Crowded reports whether another principal called a place within a time.
func (l *Limit) Crowded(name, principal string, within time.Duration) bool {
	p := l.of(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	return l.now().Sub(p.othersAt(principal)) < within
}

// Ran reports how long the request of a call ran, and how long the whole call took from when it
// was sent. Call it before Leave.
func (l *Limit) Ran(name, principal string, run, took time.Duration) {
	l.of(name).ran(l, principal, run, took)
}

// Each calls yield with each place that had calls, and the number of its calls in flight.
func (l *Limit) Each(yield func(name string, inFlight int64)) {
	l.places.Range(func(name, p any) bool {
		yield(name.(string), p.(*place).inFlight()) //nolint:forcetypeassert // nothing else is in it
		return true
	})
}

func (l *Limit) of(name string) *place {
	if p, ok := l.places.Load(name); ok {
		return p.(*place) //nolint:forcetypeassert // nothing else is in it
	}
	p, _ := l.places.LoadOrStore(name, &place{tenants: make(map[string]*tenant), share: float64(l.quarter())})
	return p.(*place) //nolint:forcetypeassert // nothing else is in it
}

// quarter is the number of calls that a principal may have while others call too.
func (l *Limit) quarter() int { return max(1, l.max/4) }

// alone is the time without calls of others after which a principal may use all of a place.
const alone = time.Second

// place is what Limit knows of one place.
type place struct {
	mu      sync.Mutex
	total   int                // calls of all principals, sent or waiting here
	tenants map[string]*tenant // by principal; those with calls

	// The two principals that called last, and when: see othersAt.
	last           string
	lastAt, before time.Time

	most  int       // about the most calls of one principal that are sent
	share float64   // how many of them are sent while others call too
	cut   time.Time // when share was last reduced
	fewAt time.Time // when a call of a principal with few calls was last answered
}

// tenant is a principal with calls.
type tenant struct {
	sent    int
	waiting []chan struct{} // each is closed when its call may be sent
}

func (t *tenant) calls() int { return t.sent + len(t.waiting) }

func (p *place) inFlight() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(p.total)
}

// othersAt returns when any principal but this one called last.
func (p *place) othersAt(principal string) time.Time {
	if p.last == principal {
		return p.before
	}
	return p.lastAt
}

// enter counts a call. turn is closed when the call may be sent; nil: it may now, or is
// refused.
func (p *place) enter(l *Limit, principal string) (turn chan struct{}, ok bool) {
	now := l.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != principal {
		p.before, p.last = p.lastAt, principal
	}
	p.lastAt = now
	t := p.tenants[principal]
	if t == nil {
		t = &tenant{}
	}
	lone := p.isAlone(principal, now)
	switch { // what is beyond the limit is for those who have less than their quarter
	case t.calls() < l.quarter():
		ok = p.total < l.max+l.quarter()
	default:
		ok = lone && p.total < l.max
	}
	if !ok {
		return nil, false
	}
	p.tenants[principal] = t
	p.total++
	if lone || t.sent < int(p.share) {
		p.send(t)
		return nil, true
	}
	turn = make(chan struct{})
	t.waiting = append(t.waiting, turn)
	return turn, true
}

// send counts a call that is sent.
func (p *place) send(t *tenant) {
	t.sent++
	p.most = max(p.most, t.sent)
}

func (p *place) isAlone(principal string, now time.Time) bool {
	return len(p.tenants) <= 1 && (len(p.tenants) == 0 || p.tenants[principal] != nil) && now.Sub(p.othersAt(principal)) > alone
}

// giveUp ends a wait. It returns false if the call may be sent after all.
func (p *place) giveUp(principal string, turn chan struct{}) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tenants[principal]
	if t == nil {
		return false
	}
	for i, waiting := range t.waiting {
		if waiting == turn {
			t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
			p.ended(principal, t)
			return true
		}
	}
	return false
}

func (p *place) leave(l *Limit, principal string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tenants[principal]
	if t.sent == p.most {
		p.most--
	}
	t.sent--
	p.ended(principal, t)
	if len(t.waiting) > 0 {
		p.wake(t, p.isAlone(principal, l.now()))
	}
}

// ended counts the end of a call.
func (p *place) ended(principal string, t *tenant) {
	p.total--
	if t.calls() == 0 {
		delete(p.tenants, principal)
	}
}

// wake lets waiting calls be sent, the oldest first.
func (p *place) wake(t *tenant, lone bool) {
	for len(t.waiting) > 0 && (lone || t.sent < max(1, int(p.share))) {
		close(t.waiting[0])
		t.waiting = t.waiting[1:]
		p.send(t)
	}
}

// Bounds of the share of one principal.
const (
	// shareStep is the factor by which a delay reduces the share.
	shareStep = 0.7
	// leastShare is the least share, unless the delay is long.
	leastShare = 8
	// shortDelay is a time beside the run that is no delay.
	shortDelay = 2 * time.Millisecond
	// longDelay and longRuns are a time and a number of runs: a delay by both reduces the share
	// to 1.
	longDelay = 20 * time.Millisecond
	longRuns  = 2
)

// ran adapts the share to the calls of principals with few of them. If such a call takes much
// longer than its run, the share is reduced at once, by a factor; otherwise it grows slowly. The
// delay of principals with many calls is their own.
func (p *place) ran(l *Limit, principal string, run, took time.Duration) {
	now := l.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tenants[principal]
	if t == nil || p.isAlone(principal, now) {
		return
	}
	few := 2*t.sent <= p.most
	if few {
		p.fewAt = now
	}
	delay := took - run
	switch {
	case !few && now.Sub(p.fewAt) < alone:
	case !few || delay <= max(shortDelay, run/4):
		p.share = min(p.share+1/p.share, float64(l.quarter()))
	case now.Sub(p.cut) >= max(delay, 10*time.Millisecond): // it did not begin before the last reduction
		least := float64(leastShare)
		if delay > longDelay+longRuns*run {
			least = 1
		}
		p.cut = now
		p.share = max(min(least, p.share), shareStep*min(p.share, float64(p.most)))
	}
}
