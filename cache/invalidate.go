package cache

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/token"
)

// mostBehind is how many tags an Invalidator remembers to invalidate later.
const mostBehind = 100_000

// Invalidator makes copies stale. It is safe for concurrent use.
type Invalidator struct {
	rdb     redis.UniversalClient
	keys    keys
	log     *slog.Logger
	timeout time.Duration
	changed func(behind int)

	mu     sync.Mutex
	behind map[[2]string]uint64 // space and tag, of what Redis was not told, and which of all that was
	noted  uint64
	lost   int           // too many to be remembered
	again  chan struct{} // capacity 1: there is something to try again
	stop   context.CancelFunc
	own    sync.WaitGroup
}

// NewInvalidator starts an Invalidator for the caches on a Redis with the same
// namespace. changed, unless nil, is called with the number of tags that wait to
// be invalidated whenever it changes: a gauge. Close it.
func NewInvalidator(rdb redis.UniversalClient, cfg Config, changed func(behind int)) *Invalidator {
	cfg.setDefaults()
	ctx, stop := context.WithCancel(context.Background())
	i := &Invalidator{
		rdb: rdb, keys: keys{cfg.Namespace}, log: cfg.Logger, timeout: cfg.Timeout, changed: changed,
		behind: make(map[[2]string]uint64), again: make(chan struct{}, 1), stop: stop,
	}
	if i.changed == nil {
		i.changed = func(int) {}
	}
	i.own.Go(func() { i.catchUp(ctx) })
	return i
}

// Close ends it. What Redis could not be told is then shown until its TTL.
func (i *Invalidator) Close() {
	i.stop()
	i.own.Wait()
}

// Invalidate makes every copy with any of the tags stale, and every run that has
// begun before: no question that is asked after it has returned gets their
// answers, but for near copies of other processes, for a moment (Config.NearTTL).
//
// With an error Redis did not confirm: copies may be shown until their TTL. It is
// then tried again, until Redis does.
func (i *Invalidator) Invalidate(ctx context.Context, space string, tags ...string) error {
	if len(tags) == 0 {
		return nil
	}
	if i.isBehind() {
		i.remember(space, tags, nil) // in a moment: Redis is away
		return fmt.Errorf("invalidate %s of %s: Redis is away", strings.Join(tags, " "), space)
	}
	if err := i.send(ctx, space, tags); err != nil {
		i.remember(space, tags, err)
		return fmt.Errorf("invalidate %s of %s: %w", strings.Join(tags, " "), space, err)
	}
	return nil
}

// send replaces the nonces that there are (SET XX KEEPTTL), and tells of it.
func (i *Invalidator) send(ctx context.Context, space string, tags []string) error {
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	pipe := i.rdb.Pipeline()
	for _, tag := range tags {
		pipe.SetArgs(ctx, i.keys.tag(space, tag), token.New(token.NameBytes), redis.SetArgs{Mode: "XX", KeepTTL: true})
	}
	told := pipe.Publish(ctx, i.keys.dropped(space), strings.Join(tags, " "))
	answers, err := pipe.Exec(ctx)
	if err == redis.Nil { //nolint:errorlint // a nonce that is not there is none to replace
		err = nil
	}
	for _, answer := range answers {
		if e := answer.Err(); e != nil && e != redis.Nil { //nolint:errorlint // see above
			err = e
		}
	}
	if err == nil {
		err = told.Err()
	}
	return err
}

func (i *Invalidator) isBehind() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.behind) > 0
}

// remember keeps tags for later.
func (i *Invalidator) remember(space string, tags []string, err error) {
	i.mu.Lock()
	first, before := len(i.behind) == 0, i.lost
	for _, tag := range tags {
		if of := [2]string{space, tag}; len(i.behind) < mostBehind || i.behind[of] != 0 {
			i.noted++
			i.behind[of] = i.noted
		} else {
			i.lost++
		}
	}
	n, overflown := len(i.behind), before == 0 && i.lost > 0
	i.mu.Unlock()
	if overflown {
		i.log.Error("too many cached answers wait to be invalidated: further ones may be shown until their time is up", "remembered", n)
	}
	if first {
		i.log.Error("cached answers could not be invalidated: they may be shown until their time is up, or Redis is back", "space", space, "tags", tags, "error", err)
	}
	i.changed(n)
	select {
	case i.again <- struct{}{}:
	default: // it knows already
	}
}

// catchUp tells Redis what it was not told.
func (i *Invalidator) catchUp(ctx context.Context) {
	waits := backoff.New(100*time.Millisecond, time.Second)
	for {
		select {
		case <-i.again:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			left, err := i.tryAgain(ctx)
			if left == 0 {
				waits.Reset()
				break
			}
			if err != nil {
				_ = backoff.Pause(ctx, waits.Next()) // the loop looks at the context
			}
		}
	}
}

// tryAgain takes some of the tags of one space to Redis, and says how many are left.
func (i *Invalidator) tryAgain(ctx context.Context) (int, error) {
	var space string
	var tags []string
	i.mu.Lock()
	last := i.noted
	for of := range i.behind {
		if len(tags) == 0 {
			space = of[0]
		}
		if of[0] == space && len(tags) < batchLimit {
			tags = append(tags, of[1])
		}
	}
	i.mu.Unlock()
	if len(tags) == 0 {
		return 0, nil
	}
	err := i.send(ctx, space, tags)
	i.mu.Lock()
	if err == nil {
		for _, tag := range tags {
			if of := [2]string{space, tag}; i.behind[of] <= last { // else it was changed once more
				delete(i.behind, of)
			}
		}
	}
	left, lost := len(i.behind), i.lost
	if left == 0 {
		i.lost = 0
	}
	i.mu.Unlock()
	if err == nil {
		i.changed(left)
		if left == 0 {
			i.log.WarnContext(ctx, "the cached answers that could not be invalidated now are, but for those that were too many", "space", space, "too_many", lost)
		}
	}
	return left, err
}
