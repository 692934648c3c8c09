package cache

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/token"
)

// Cache is one process's part of the shared cache. It is safe for concurrent use.
type Cache struct {
	cfg     Config
	log     *slog.Logger
	keys    keys
	channel string // on which it hears outcomes
	line    *line
	near    *near // nil: none
	full    atomic.Bool
	hears   atomic.Bool // what is invalidated
	counts  [sources]atomic.Uint64
	stored  atomic.Uint64

	mu      sync.Mutex
	looks   map[string]*look   // that have not left, by question and mode
	flights map[string]*flight // by question and nonces
	leads   map[*look]struct{} // whose leases are kept
	likely  map[string]bool    // questions that had a copy when they were looked for
	nonces  map[string]string  // of tags that had one before they were asked for: a guess
	closed  bool

	ctx  context.Context //nolint:containedctx // of runs, which belong to nobody who asks
	stop context.CancelFunc
	work sync.WaitGroup // flights
	own  sync.WaitGroup // what runs as long as the cache
}

// New starts a cache on a Redis, or a cluster of them. Close it after its last
// question.
func New(rdb redis.UniversalClient, cfg Config) (*Cache, error) {
	cfg.setDefaults()
	kept, err := newNear(&cfg)
	if err != nil {
		return nil, err
	}
	c := &Cache{
		cfg: cfg, log: cfg.Logger, keys: keys{cfg.Namespace}, near: kept,
		looks: make(map[string]*look), flights: make(map[string]*flight), leads: make(map[*look]struct{}),
		likely: make(map[string]bool), nonces: make(map[string]string),
	}
	c.channel = c.keys.flights(token.New(token.NameBytes))
	c.line = newLine(rdb, &c.cfg)
	c.ctx, c.stop = context.WithCancel(context.Background())
	for range lines {
		c.own.Go(func() { c.line.batches.Run(c.ctx, c.line.flush) })
	}
	c.own.Go(func() { c.listen(c.ctx) })
	c.own.Go(func() { c.watchMemory(c.ctx) })
	c.own.Go(func() { c.keepLeases(c.ctx) })
	return c, nil
}

// closePatience is how long Close lets runs come to their end, for those who wait
// elsewhere.
const closePatience = time.Second

// Close ends the cache. Whoever still waits gets ErrClosed.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	timer := time.AfterFunc(closePatience, c.stop)
	c.work.Wait()
	timer.Stop()
	c.stop()
	c.own.Wait()
	c.near.close()
}

// running starts what Close waits for, unless it is too late for that.
func (c *Cache) running(do func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.work.Go(do)
	return true
}

// Near gives this process's own copy, if there is one. It costs nearly nothing
// and no memory.
func (c *Cache) Near(space, identity string) (Answer, bool) {
	a, ok := c.near.get(space, identity)
	if ok {
		c.counts[Near].Add(1)
	}
	return a, ok
}

// Do answers a question: by a copy, or by the run of whoever asks the same, or by
// its own. Without Redis it is run. Errors are ErrNotStored, ErrCrowded, ErrClosed,
// that of the context, and that of a run that panicked.
func (c *Cache) Do(ctx context.Context, q *Query, run Run) (Answer, error) {
	if !q.Refresh {
		if a, ok := c.Near(q.Space, q.Identity); ok {
			return a, nil
		}
	}
	a, err := c.do(ctx, q, run)
	if err == nil {
		c.counts[a.Source].Add(1)
	}
	return a, err
}

func (c *Cache) do(ctx context.Context, q *Query, run Run) (Answer, error) {
	mode := modeLook
	switch {
	case q.OnlyStored:
		mode = modePeek
	case q.Refresh:
		mode = modeFresh
	case c.full.Load():
		mode = modePeek // nothing is written: neither nonces nor leases
	}
	if c.line.away() {
		return c.bypass(q, run)
	}
	l, first, err := c.ask(q, mode, run, q.Patient)
	if err != nil {
		return Answer{}, err
	}
	if first && q.Patient {
		<-l.done // Redis has Config.Timeout
	} else {
		select {
		case <-l.done:
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		}
	}
	found := &l.found
	switch {
	case l.err != nil:
		c.log.Debug("the cache could not be looked at", "space", q.Space, "error", l.err)
		return c.bypass(q, run)
	case l.flight == nil && found.left > 0:
		return Answer{Value: found.value, Source: Shared, Age: found.age(time.Now(), q.Policy.stale()), Left: found.left}, nil
	case l.flight == nil:
		return c.bypass(q, run)
	case found.within(q.Policy.StaleWhileRevalidate):
		return found.answer(Revalidating, q), nil
	}
	return c.await(ctx, q, l, first)
}

// await waits for the flight that a look began or joined.
func (c *Cache) await(ctx context.Context, q *Query, l *look, first bool) (Answer, error) {
	f, found := l.flight, &l.found
	c.mu.Lock()
	crowded := f.waiting >= c.cfg.MaxWaiting
	f.waiting++
	c.mu.Unlock()
	switch {
	case first && l.led && l.inline: // also when others crowd around it
		f.leadHere(l)
		<-f.done
	case crowded:
		return Answer{}, ErrCrowded
	default:
		select {
		case <-f.done:
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		}
	}
	if (f.err != nil || f.outcome.Broken) && found.within(q.Policy.StaleIfError) {
		return found.answer(Stale, q), nil
	}
	if f.err != nil {
		return Answer{}, f.err
	}
	a := Answer{Value: f.outcome.Value, Source: Joined, Left: q.Policy.TTL, Expired: found.life > 0}
	if first && l.led && !f.joined {
		a.Source = Led
	}
	return a, nil
}

// bypass runs a question without the cache.
func (c *Cache) bypass(q *Query, run Run) (Answer, error) {
	if q.OnlyStored {
		return Answer{}, ErrNotStored
	}
	o, err := c.runGuarded(q, run)
	return Answer{Value: o.Value, Source: Bypassed}, err
}

// within reports that there is a copy which is not fresh any more, but not for
// longer than this.
func (c *copied) within(stale time.Duration) bool {
	return c.life > 0 && stale > 0 && time.Since(c.at)-c.left < stale
}

func (c *copied) answer(s Source, q *Query) Answer {
	now := time.Now()
	return Answer{Value: c.value, Source: s, Age: c.age(now, q.Policy.stale()), Left: c.left - now.Sub(c.at), Expired: true}
}

// Drop forgets this process's near copies with any of the tags, at once: others
// hear of an invalidation a moment later.
func (c *Cache) Drop(space string, tags ...string) { c.near.drop(space, tags) }

// Stats counts since the start.
type Stats struct {
	// Answers are counted by their source.
	Answers map[Source]uint64
	// Stored is how many copies were written to Redis.
	Stored uint64
	// NearBytes is about how much memory the near copies take.
	NearBytes uint64
	// Away says that Redis did not answer a moment ago.
	Away bool
	// Deaf says that it does not hear what is invalidated: its near copies may be
	// stale until their TTL.
	Deaf bool
	// Full says that Redis has no room for more copies.
	Full bool
}

// Stats tells what the cache has done.
func (c *Cache) Stats() Stats {
	s := Stats{Answers: make(map[Source]uint64), Stored: c.stored.Load(), Away: c.line.away(), Full: c.full.Load(), Deaf: !c.hears.Load()}
	for i := range c.counts {
		s.Answers[Source(i)] = c.counts[i].Load()
	}
	if c.near != nil {
		s.NearBytes = c.near.copies.WeightedSize()
	}
	return s
}
