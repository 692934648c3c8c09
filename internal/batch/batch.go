// Package batch collects what many goroutines want done into few round trips.
package batch

import (
	"context"
	"runtime"
	"sync"
)

// Batcher collects items of many goroutines and hands them on in batches: while
// a batch is under way the next one grows, so that the load itself sets the size
// of the batches and a lone item never waits.
type Batcher[T any] struct {
	limit int // items in one batch at most

	mu    sync.Mutex
	items []T
	wake  chan struct{}
}

// New makes a Batcher that hands on at most limit items at once. Run does so.
func New[T any](limit int) *Batcher[T] {
	return &Batcher[T]{limit: limit, wake: make(chan struct{}, 1)}
}

// Add hands an item over. It never blocks.
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

// Run hands batches to flush until the context ends, and then what is left.
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
			// Who is about to add something does so first: the batch is larger,
			// and nobody who is alone waits.
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
