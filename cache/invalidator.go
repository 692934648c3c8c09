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

// maxBehind is the number of tags that an Invalidator keeps for a later try.
const maxBehind = 100_000

// Invalidator makes cache entries invalid by their tags. It is safe for concurrent
// use.
type Invalidator struct {
	rdb     redis.Cmdable
	keys    keys
	log     *slog.Logger
	timeout time.Duration
	changed func(behind int)

	mu     sync.Mutex
	behind map[[2]string]uint64 // space and tag that Redis did not confirm, and the number of that failure
	noted  uint64               // failures so far
	lost   int                  // tags beyond maxBehind
	again  chan struct{}        // capacity 1: behind has changed
	stop   context.CancelFunc
	loop   sync.WaitGroup
}

// NewInvalidator returns a running Invalidator for the caches on this Redis with the
// same namespace. changed, unless nil, is called with the number of tags that wait
// for a later try whenever it changes. Close the Invalidator after use.
func NewInvalidator(rdb redis.Cmdable, cfg Config, changed func(behind int)) *Invalidator {
	cfg.setDefaults()
	ctx, stop := context.WithCancel(context.Background())
	if changed == nil {
		changed = func(int) {}
	}
	i := &Invalidator{
		rdb: rdb, keys: keys{cfg.Namespace}, log: cfg.Logger, timeout: cfg.Timeout, changed: changed,
		behind: make(map[[2]string]uint64), again: make(chan struct{}, 1), stop: stop,
	}
	i.loop.Go(func() { i.catchUp(ctx) })
	return i
}

// Close stops the Invalidator. Entries whose invalidation Redis did not confirm are
// then returned until their TTL.
func (i *Invalidator) Close() {
	i.stop()
	i.loop.Wait()
}

// Invalidate makes every entry with one of the tags invalid, and every run that has
// started: a query that starts after Invalidate has returned does not get their
// answers. Local entries of other processes are the exception, for at most
// Config.LocalTTL.
//
// An error means that Redis did not confirm the invalidation: entries may be returned
// until their TTL. The Invalidator tries again until Redis confirms.
func (i *Invalidator) Invalidate(ctx context.Context, space string, tags ...string) error {
	if len(tags) == 0 {
		return nil
	}
	if i.isBehind() {
		i.remember(space, tags, nil) // catchUp sends it soon
		return fmt.Errorf("invalidate %s of %s: Redis is unreachable", strings.Join(tags, " "), space)
	}
	if err := i.send(ctx, space, tags); err != nil {
		i.remember(space, tags, err)
		return fmt.Errorf("invalidate %s of %s: %w", strings.Join(tags, " "), space, err)
	}
	return nil
}

// send replaces the nonces that exist (SET XX KEEPTTL), and publishes the tags.
func (i *Invalidator) send(ctx context.Context, space string, tags []string) error {
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	pipe := i.rdb.Pipeline()
	for _, tag := range tags {
		pipe.SetArgs(ctx, i.keys.tag(space, tag), token.New(token.NameBytes), redis.SetArgs{Mode: "XX", KeepTTL: true})
	}
	published := pipe.Publish(ctx, i.keys.dropped(space), strings.Join(tags, " "))
	answers, err := pipe.Exec(ctx)
	if err == redis.Nil { //nolint:errorlint // a tag without a nonce has no entries
		err = nil
	}
	for _, answer := range answers {
		if e := answer.Err(); e != nil && e != redis.Nil { //nolint:errorlint // see above
			err = e
		}
	}
	if err == nil {
		err = published.Err()
	}
	return err
}

func (i *Invalidator) isBehind() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.behind) > 0
}

// remember keeps tags for a later try.
func (i *Invalidator) remember(space string, tags []string, err error) {
	i.mu.Lock()
	first, before := len(i.behind) == 0, i.lost
	for _, tag := range tags {
		if of := [2]string{space, tag}; len(i.behind) < maxBehind || i.behind[of] != 0 {
			i.noted++
			i.behind[of] = i.noted
		} else {
			i.lost++
		}
	}
	n, overflows := len(i.behind), before == 0 && i.lost > 0
	i.mu.Unlock()
	if overflows {
		i.log.Error("too many tags wait to be invalidated, entries of further tags may be returned until their TTL", "waiting", n)
	}
	if first {
		i.log.Error("cached answers could not be invalidated, they may be returned until their TTL or until Redis is reachable", "space", space, "tags", tags, "error", err)
	}
	i.changed(n)
	select {
	case i.again <- struct{}{}:
	default: // catchUp runs already
	}
}

// catchUp sends the tags that Redis did not confirm.
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

// tryAgain sends some tags of one space, and returns the number of tags that are left.
func (i *Invalidator) tryAgain(ctx context.Context) (int, error) {
	var space string
	var tags []string
	i.mu.Lock()
	last := i.noted
	for of := range i.behind {
		if len(tags) == 0 {
			space = of[0]
		}
		if of[0] == space && len(tags) < maxBatch {
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
			if of := [2]string{space, tag}; i.behind[of] <= last { // otherwise it failed once more meanwhile
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
			i.log.WarnContext(ctx, "the cached answers that could not be invalidated now are", "space", space, "lost_tags", lost)
		}
	}
	return left, err
}
