package caller

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus/wire"
)

// waiter is one caller that waits for the reply to its request.
type waiter struct {
	service string
	request *wire.Request
	id      uuid.UUID   // once its alarm is set
	wake    chan result // capacity 1: whoever wakes it has taken it from the table
	alarm   *time.Timer // wakes it when its time is up; nil: it has never been set

	sending  bool // it waits only for its request to be accepted
	watching bool // it waits for a request that somebody else has sent
	shared   bool // others may ask something else under its ID

	// Guarded by the lock of the waiter's shard.
	next     *waiter   // under the same ID
	entry    string    // the stream entry, once Redis has confirmed it
	sent     bool      // the batch that held it has been written, rightly or not
	nextLook time.Time // when the sweep looks for a lost answer
	looks    int
	early    wire.Reply // to that ID, before it was known whether it is this request's
	isEarly  bool
	gone     bool // the last look found that its entry has left the mailbox
}

func newWaiter() *waiter { return &waiter{wake: make(chan result, 1)} }

// begin prepares a waiter for one request; end forgets it. In between the
// fields may only be touched through the table.
func (w *waiter) begin(service string, request *wire.Request) {
	w.service, w.request, w.nextLook = service, request, time.Now().Add(firstLook)
}

func (w *waiter) end() { *w = waiter{wake: w.wake, alarm: w.alarm} }

// result is what wakes a waiter.
type result struct {
	reply   wire.Reply
	err     error
	timeout bool // nobody woke it: the time is up
}

const shardCount = 64

// waiters finds the waiters of a reply. It is cut into shards, so that the one
// goroutine that reads replies and the many that register rarely meet.
type waiters struct{ shards [shardCount]shard }

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

// shardOf spreads by the last byte, which is random in every UUID version used.
func shardOf(id uuid.UUID) int { return int(id[15]) % shardCount }

// add registers a waiter. Several may wait under one ID: callers with one
// Idempotency-Key, or who watch one ticket.
func (t *waiters) add(id uuid.UUID, w *waiter) {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	w.next = s.byID[id]
	s.byID[id] = w
	s.mu.Unlock()
}

// take takes out of a shard those who wait under an ID and are meant, and gives
// them as a list. Its caller holds the lock.
func (s *shard) take(id uuid.UUID, meant func(*waiter) bool) *waiter {
	var taken, kept *waiter
	for w := s.byID[id]; w != nil; {
		next := w.next
		if meant(w) {
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

// remove takes a waiter out that waits no longer. It reports false when
// somebody has taken it already, to wake it.
func (t *waiters) remove(id uuid.UUID, w *waiter) bool {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(id, func(other *waiter) bool { return other == w }) != nil
}

// wake ends the wait of all under an ID. Only a reply from the service that was
// asked counts; a reply nobody waits for is dropped. Who shares its ID with
// others, and has not been told yet that they ask the same, keeps it until then.
func (t *waiters) wake(id uuid.UUID, service string, reply wire.Reply) {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	w := s.byID[id]
	switch {
	case w == nil:
	case w.next == nil && !w.shared && w.service == service: // nearly always
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
			case reply.Entry() != w.entry: // another run's: the record says what became of this one
				w.nextLook = time.Time{}
				return false
			}
			return true
		})
	}
	s.mu.Unlock()
	wakeAll(w, result{reply: reply})
}

func wakeAll(w *waiter, r result) {
	for w != nil {
		next := w.next
		w.next = nil
		w.wake <- r
		w = next
	}
}

// end ends the wait for one request alone.
func (t *waiters) end(id uuid.UUID, request *wire.Request, r result) {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	w := s.take(id, func(w *waiter) bool { return w.request == request })
	s.mu.Unlock()
	wakeAll(w, r)
}

// find gives who waits for a request. Its caller holds the lock.
func (s *shard) find(id uuid.UUID, request *wire.Request) *waiter {
	for w := s.byID[id]; w != nil; w = w.next {
		if w.request == request {
			return w
		}
	}
	return nil
}

// written notes that the batch that held the request was written, and where
// its entry is; empty: not known. Who only waits for that is woken.
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
		w.early, w.isEarly, w.nextLook = wire.Reply{}, false, time.Time{}
	}
	if done {
		s.take(id, func(other *waiter) bool { return other == w })
	}
	s.mu.Unlock()
	if done {
		wakeAll(w, r)
	}
}

// lookup is a waiter as the sweep needs it.
type lookup struct {
	id       uuid.UUID
	service  string
	request  *wire.Request
	entry    string
	watching bool
	sending  bool
}

// firstLook is how long a reply may take before the sweep looks for it.
const firstLook = time.Second

// How often the time until the next look doubles: to 8 s for a request of one's
// own, to about a minute for one that is only watched.
const (
	maxLooks      = 3
	maxWatchLooks = 6
)

// overdue lists who has waited so long for a reply that it may be lost, and
// sets when each is looked at next: after 1 s, 2 s, 4 s and so on. With all,
// it lists everybody whose request was written.
func (t *waiters) overdue(now time.Time, all bool) []lookup {
	var due []lookup
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for id, w := range s.byID {
			for ; w != nil; w = w.next {
				if !w.sent || (!all && now.Before(w.nextLook)) {
					continue
				}
				most := maxLooks
				if w.watching {
					most = maxWatchLooks
				}
				w.looks = min(w.looks+1, most)
				w.nextLook = now.Add(firstLook << w.looks)
				due = append(due, lookup{
					id: id, service: w.service, request: w.request, entry: w.entry, watching: w.watching, sending: w.sending,
				})
			}
		}
		s.mu.Unlock()
	}
	return due
}

// goneBefore notes that the entry of a request has left the mailbox, which is
// looked at again soon. It reports whether a look has found so before.
func (t *waiters) goneBefore(id uuid.UUID, request *wire.Request) bool {
	s := &t.shards[shardOf(id)]
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.find(id, request)
	if w == nil {
		return false // it has been answered meanwhile
	}
	before := w.gone
	w.gone = !before // what is sent again has a new entry
	if !before {
		w.nextLook = time.Time{}
	}
	return before
}

// failAll wakes everybody with an error.
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
