package consumer

import (
	"context"
	"time"
)

// How often the watch looks, and how often in vain before it waits to be called.
const (
	watchEvery = 5 * time.Millisecond
	watchIdle  = 200
)

// watch looks, while there is something to see, whether the goroutine that reads is held
// up by what it runs, until nobody reads any more.
func (f *fetcher) watch(ctx context.Context) {
	for {
		select {
		case <-f.active:
			f.watchClosely(ctx)
		case <-f.over:
			return
		}
	}
}

func (f *fetcher) watchClosely(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	seen, idle := -1, 0
	for {
		select {
		case <-ticker.C:
		case <-f.over:
			return
		}
		f.mu.Lock()
		turn, same := f.turn, f.runs == seen
		stuck := same && f.running != nil
		if idle++; !same || stuck {
			idle = 0
		}
		seen = f.runs
		f.watched = idle < watchIdle
		watched := f.watched
		f.mu.Unlock()
		if !watched {
			return
		}
		if stuck {
			f.relieve(ctx, turn, seen)
		}
	}
}

// relieve has another goroutine read on in the place of one that is held up by the run of
// that number: what that has not begun goes to the pool, and what it has done is settled.
// What holds it up does not count as quick any more. Where the run has ended by now, the
// goroutine reads on itself.
func (f *fetcher) relieve(ctx context.Context, turn, run int) {
	f.mu.Lock()
	if f.turn != turn || f.runs != run || f.running == nil {
		f.mu.Unlock()
		return
	}
	f.turn++
	queue, done, running := f.queue, f.done, f.running
	f.queue, f.done, f.running = nil, nil, nil
	f.mu.Unlock()
	if running != nil {
		if p := f.c.paces[running.Request.Action]; p != nil {
			p.score.Store(0)
		}
	}
	f.c.pool.add(queue)
	for _, e := range done {
		f.c.settler.add(e)
	}
	f.readOn(ctx, turn+1)
}
