// Package batch collects what many goroutines want done into few round trips.
package batch

import (
	"context"
	"runtime"
	"sync"
)

// Batcher collects items of many goroutines and passes them on in batches. The next
// batch grows while the current one is in progress, so that the load sets the size of
// the batches. A single item never waits.
type Batcher[T any] struct {
	limit int // items in one batch at most

	mu    sync.Mutex
	items []T
	wake  chan struct{}
}

// New returns a Batcher whose Run passes on at most limit items at once.
func New[T any](limit int) *Batcher[T] {
	return &Batcher[T]{limit: limit, wake: make(chan struct{}, 1)}
}

// Add adds an item. It never blocks.
func (b *Batcher[T]) Add(item T) {
	b.mu.Lock()
	b.items = append(b.items, item)
	first := len(b.items) == 1
	b.mu.Unlock()
	if first {
		select {
		case b.wake <- struct{}{}:
		default: // it is awake already
		}
	}
}

// Len is how many items wait.
func (b *Batcher[T]) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items)
}

// Run passes batches to flush until the context ends, and then the remaining items.
func (b *Batcher[T]) Run(ctx context.Context, flush func([]T)) {
	var spare []T
	for {
		stop := false
		select {
		case <-b.wake:
		case <-ctx.Done():
			stop = true
		}
		for {
			// Goroutines that are about to add an item run first, so that the batch
			// is larger. This costs a single caller no time.
			runtime.Gosched()
			b.mu.Lock()
			items := b.items
			b.items = spare[:0]
			b.mu.Unlock()
			if len(items) == 0 {
				spare = items
				break
			}
			for rest := items; len(rest) > 0; {
				n := min(len(rest), b.limit)
				flush(rest[:n])
				rest = rest[n:]
			}
			clear(items)
			spare = items
		}
		if stop {
			return
		}
	}
}
