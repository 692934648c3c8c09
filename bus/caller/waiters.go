package caller

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus/wire"
)

const shardCount = 64

// waiters finds the waiters of a reply. Its shards keep the goroutine that reads
// replies and those that register apart.
type waiters struct {
	shards [shardCount]shard
	idle   sync.Pool // of *waiter
}

type shard struct {
	mu   sync.Mutex
	byID map[uuid.UUID]*waiter // the first of each list
}

func newWaiters() *waiters {
	t := &waiters{}
	for i := range t.shards {
		t.shards[i].byID = make(map[uuid.UUID]*waiter)
	}
	return t
}

// shardOf uses the last byte, which is random in every UUID version in use.
func shardOf(id uuid.UUID) int { return int(id[15]) % shardCount }

// get returns an unused waiter for one request; put returns it to the pool once it
// is out of the table and no other goroutine uses it.
func (t *waiters) get(service string, request *wire.Request, p purpose) *waiter {
	w, _ := t.idle.Get().(*waiter)
	if w == nil {
		w = newWaiter()
	}
	w.begin(service, request, p)
	return w
}

func (t *waiters) put(w *waiter) {
	w.end()
	t.idle.Put(w)
}

// wait returns the result of a registered waiter, at the latest when the timeout or
// the context ends, and puts the waiter back.
func (t *waiters) wait(ctx context.Context, id uuid.UUID, w *waiter, timeout time.Duration) (result, error) {
	t.setAlarm(id, w, timeout)
	defer func() {
		if w.alarm.Stop() { // otherwise the alarm may still use the waiter
			t.put(w)
		}
	}()
	if ctx.Done() == nil { // a receive is cheaper than a select
		return <-w.wake, nil
	}
	select {
	case r := <-w.wake:
		return r, nil
	case <-ctx.Done():
		if t.remove(id, w) {
			return result{}, ctx.Err()
		}
		return <-w.wake, nil // another goroutine took it and sends a result
	}
}

// setAlarm ends the wait of a waiter after the timeout.
func (t *waiters) setAlarm(id uuid.UUID, w *waiter, timeout time.Duration) {
	w.id = id
	if w.alarm != nil {
		w.alarm.Reset(timeout)
		return
	}
	w.alarm = time.AfterFunc(timeout, func() {
		if t.remove(w.id, w) {
			w.wake <- result{timeout: true}
		}
	})
}

// add registers a waiter. Several waiters may share an ID: callers with one
// Idempotency-Key, or that watch one ticket.
func (t *waiters) add(id uuid.UUID, w *waiter) {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	w.next = s.byID[id]
	s.byID[id] = w
	s.mu.Unlock()
}

// take removes the matching waiters of an ID and returns them as a list. Its caller
// holds the lock.
func (s *shard) take(id uuid.UUID, matches func(*waiter) bool) *waiter {
	var taken, kept *waiter
	for w := s.byID[id]; w != nil; {
		next := w.next
		if matches(w) {
			w.next, taken = taken, w
		} else {
			w.next, kept = kept, w
		}
		w = next
	}
	if kept == nil {
		delete(s.byID, id)
	} else {
		s.byID[id] = kept
	}
	return taken
}

// remove removes a waiter. It reports false if another goroutine has taken it to
// wake it.
func (t *waiters) remove(id uuid.UUID, w *waiter) bool {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(id, func(other *waiter) bool { return other == w }) != nil
}

// wake ends the wait of all waiters of an ID. It ignores a reply of another service
// and a reply without waiters. A waiter with a shared ID keeps the reply until Redis
// has confirmed that its request is the one that was answered.
func (t *waiters) wake(id uuid.UUID, service string, reply wire.Reply) bool {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	w := s.byID[id]
	switch {
	case w == nil:
	case w.next == nil && !w.shared && w.service == service: // the usual case
		delete(s.byID, id)
	default:
		w = s.take(id, func(w *waiter) bool {
			switch {
			case w.service != service:
				return false
			case !w.shared:
				return true
			case w.entry == "":
				w.early, w.isEarly = reply, true
				return false
			case reply.Entry() != w.entry: // of another run: the record has the outcome of this one
				w.nextCheck = time.Time{}
				return false
			}
			return true
		})
	}
	s.mu.Unlock()
	wakeAll(w, result{reply: reply})
	return w != nil
}

// report passes a report of progress to the waiters of an ID.
func (t *waiters) report(id uuid.UUID, service, progress string) {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := s.byID[id]; w != nil; w = w.next {
		if w.service == service && w.progress != nil {
			w.progress(progress)
		}
	}
}

// end ends the wait for one request only.
func (t *waiters) end(id uuid.UUID, request *wire.Request, r result) {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	w := s.take(id, func(w *waiter) bool { return w.request == request })
	s.mu.Unlock()
	wakeAll(w, r)
}

// find returns the waiter of a request, or nil. Its caller holds the lock.
func (s *shard) find(id uuid.UUID, request *wire.Request) *waiter {
	for w := s.byID[id]; w != nil; w = w.next {
		if w.request == request {
			return w
		}
	}
	return nil
}

// written records that the batch of a request was written, and the request's entry;
// empty: not known. It wakes a waiter that waits only for that.
func (t *waiters) written(id uuid.UUID, request *wire.Request, entry string) {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	w := s.find(id, request)
	if w == nil {
		s.mu.Unlock()
		return
	}
	w.sent, w.entry = true, entry
	r, done := result{}, false
	switch {
	case entry == "":
	case w.isEarly && w.early.Entry() == entry:
		r.reply, done = w.early, true
	case w.sending:
		done = true
	case w.isEarly: // of another run
		w.early, w.isEarly, w.nextCheck = wire.Reply{}, false, time.Time{}
	}
	if done {
		s.take(id, func(other *waiter) bool { return other == w })
	}
	s.mu.Unlock()
	if done {
		wakeAll(w, r)
	}
}

// lookup is the part of a waiter that the sweep needs.
type lookup struct {
	id      uuid.UUID
	service string
	request *wire.Request
	entry   string
	purpose
}

// firstCheck is how long a reply may take before the sweep looks for it.
const firstCheck = time.Second

// The number of times that the interval between checks doubles: up to 8 s for a
// request of this process, up to about a minute for a watched one.
const (
	maxChecks      = 3
	maxWatchChecks = 6
)

// overdue lists the waiters whose reply may be lost and sets when each is checked
// next: after 1 s, 2 s, 4 s and so on. With all, it lists every waiter whose request
// was written.
func (t *waiters) overdue(now time.Time, all bool) []lookup {
	var due []lookup
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for id, w := range s.byID {
			for ; w != nil; w = w.next {
				if !w.sent || (!all && now.Before(w.nextCheck)) {
					continue
				}
				maxCount := maxChecks
				if w.watching {
					maxCount = maxWatchChecks
				}
				w.count = min(w.count+1, maxCount)
				w.nextCheck = now.Add(firstCheck << w.count)
				due = append(due, lookup{id: id, service: w.service, request: w.request, entry: w.entry, purpose: w.purpose})
			}
		}
		s.mu.Unlock()
	}
	return due
}

// goneBefore records that the entry of a request has left the mailbox, and has it
// checked again soon. It reports whether the check before found the same.
func (t *waiters) goneBefore(id uuid.UUID, request *wire.Request) bool {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.find(id, request)
	if w == nil {
		return false // it was answered meanwhile
	}
	before := w.gone
	w.gone = !before // a request that is sent again has a new entry
	if !before {
		w.nextCheck = time.Time{}
	}
	return before
}

// failAll ends every wait with an error.
func (t *waiters) failAll(err error) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for id, w := range s.byID {
			delete(s.byID, id)
			wakeAll(w, result{err: err})
		}
		s.mu.Unlock()
	}
}
