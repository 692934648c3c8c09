package consumer

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// manifestTTL is how long a manifest outlives the last worker that announced it.
	manifestTTL = 24 * time.Hour
	// deadWorkerTTL is how long a dead worker stays in the list, and its empty consumer
	// in the group.
	deadWorkerTTL = time.Minute
	// announceEvery is how often a worker writes its manifest again.
	announceEvery = time.Hour
)

// presence tells gateways that the worker is alive and what it serves.
type presence struct {
	w *worker

	mu   sync.Mutex // held while it writes
	left bool       // no more heartbeats
}

// keepUp sends heartbeats, keeps the running requests, and removes dead consumers, until
// the context ends.
func (p *presence) keepUp(ctx context.Context, r *requests) {
	beat := time.NewTicker(p.w.cfg.Heartbeat)
	defer beat.Stop()
	keep := time.NewTicker(p.w.cfg.IdleLimit / 3)
	defer keep.Stop()
	tidy := time.NewTicker(deadWorkerTTL)
	defer tidy.Stop()
	// At the start too: where workers keep crashing, none lives until the first tick.
	p.w.retire(ctx, "", deadWorkerTTL)
	announced := time.Time{}
	for {
		if p.beat(ctx, announced) {
			if announced.IsZero() && p.w.cfg.OnRegistered != nil {
				p.w.cfg.OnRegistered()
			}
			announced = time.Now()
		}
		for again := true; again; {
			select {
			case <-beat.C:
				again = false
			case <-keep.C:
				r.keep(ctx)
			case <-tidy.C:
				p.w.retire(ctx, "", deadWorkerTTL)
			case <-ctx.Done():
				return
			}
		}
	}
}

// beat writes one heartbeat. It announces the service with the first one, then every
// hour, and whenever Redis has lost the worker. It reports whether a due announcement was
// written.
func (p *presence) beat(ctx context.Context, announced time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left {
		return false
	}
	w := p.w
	ctx, cancel := context.WithTimeout(ctx, w.conn.Timeout())
	defer cancel()
	canonical, digest, err := w.cfg.Manifest.Encode()
	if err != nil {
		w.log.ErrorContext(ctx, "cannot announce the service", "error", err)
		return false
	}
	if !w.conn.Clock.Known() {
		if err := w.conn.Ping(ctx); err != nil {
			p.failed(ctx, err)
			return false
		}
	}
	member := redis.Z{Member: w.id + " " + digest, Score: float64(w.conn.Clock.Millis() + w.cfg.Expiry.Milliseconds())}
	sent := w.conn.Clock.Local()
	pipe := w.conn.Redis().Pipeline()
	due := time.Since(announced) > announceEvery
	if due { // first, so that no reader finds a worker without its manifest
		p.announce(ctx, pipe, canonical, digest)
	}
	added := pipe.ZAdd(ctx, w.conn.Keys.Workers(w.service), member)
	clock := pipe.Time(ctx)
	paused := pipe.Exists(ctx, w.conn.Keys.Paused(w.service))
	if due {
		p.hint(ctx, pipe)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		p.failed(ctx, err)
		return false
	}
	w.conn.Clock.Adjust(sent, w.conn.Clock.Local(), clock.Val())
	if w.slots.hold(paused.Val() > 0) {
		w.log.InfoContext(ctx, "the mailbox was paused or resumed", "paused", paused.Val() > 0)
	}
	if added.Val() > 0 && !due {
		// Redis did not know this worker any more: it has lost the announcement too.
		pipe := w.conn.Redis().Pipeline()
		p.announce(ctx, pipe, canonical, digest)
		p.hint(ctx, pipe)
		_, err = pipe.Exec(ctx)
	}
	return due && err == nil
}

func (p *presence) failed(ctx context.Context, err error) {
	if !p.w.isRefused(err) {
		p.w.log.WarnContext(ctx, "heartbeat failed", "error", err)
	}
}

// announce writes the manifest, and removes dead workers.
func (p *presence) announce(ctx context.Context, pipe redis.Pipeliner, canonical []byte, digest string) {
	w := p.w
	dead := w.conn.Clock.Now().Add(-deadWorkerTTL).UnixMilli()
	pipe.ZRemRangeByScore(ctx, w.conn.Keys.Workers(w.service), "-inf", "("+strconv.FormatInt(dead, 10))
	if w.cfg.Hidden {
		return
	}
	pipe.Set(ctx, w.conn.Keys.Manifest(w.service, digest), canonical, manifestTTL)
	pipe.SAdd(ctx, w.conn.Keys.Services(), w.service)
}

// hint tells gateways to look at the service.
func (p *presence) hint(ctx context.Context, pipe redis.Pipeliner) {
	if !p.w.cfg.Hidden {
		pipe.Publish(ctx, p.w.conn.Keys.Registry(), p.w.service)
	}
}

// leave removes the worker from the list of workers, and tells gateways.
func (p *presence) leave(ctx context.Context) {
	w := p.w
	ctx, cancel := context.WithTimeout(ctx, w.conn.Timeout())
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = true
	_, digest, err := w.cfg.Manifest.Encode()
	if err == nil {
		pipe := w.conn.Redis().Pipeline()
		pipe.ZRem(ctx, w.conn.Keys.Workers(w.service), w.id+" "+digest)
		if !w.cfg.Hidden {
			pipe.Publish(ctx, w.conn.Keys.Registry(), w.service)
		}
		_, err = pipe.Exec(ctx)
	}
	if err != nil && !w.isRefused(err) {
		w.log.WarnContext(ctx, "cannot deregister, the heartbeat will expire", "error", err)
	}
}
