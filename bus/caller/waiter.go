package caller

import (
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus/wire"
)

// waiter is one caller that waits for the reply to its request.
type waiter struct {
	service string
	request *wire.Request
	id      uuid.UUID   // set with the alarm
	wake    chan result // capacity 1: only the goroutine that took the waiter from the table sends
	alarm   *time.Timer // ends the wait with a timeout; nil until the first wait
	purpose

	// The lock of the waiter's shard guards the rest.
	next *waiter // under the same ID
	delivery
	checks
}

// purpose tells which event a waiter waits for.
type purpose struct {
	sending  bool // only the acceptance of its request
	watching bool // the end of a request that another caller sent
	shared   bool // other callers may send another request under its ID

	progress func(text string) // gets reports of progress, and must not block; nil: ignored
}

// delivery is the known state of the request in Redis and of its reply.
type delivery struct {
	entry   string     // the stream entry, once Redis has confirmed it
	sent    bool       // its batch has been written, with or without an error
	early   wire.Reply // a reply to the ID that came before entry was known
	isEarly bool
}

// checks is what the sweep keeps of a waiter.
type checks struct {
	nextCheck time.Time // when the sweep looks for a lost reply
	count     int
	gone      bool // the last check found that the entry has left the mailbox
}

func newWaiter() *waiter { return &waiter{wake: make(chan result, 1)} }

// begin prepares a waiter for one request. Until end its fields are only used
// through the table.
func (w *waiter) begin(service string, request *wire.Request, p purpose) {
	w.service, w.request, w.purpose, w.nextCheck = service, request, p, time.Now().Add(firstCheck)
}

func (w *waiter) end() { *w = waiter{wake: w.wake, alarm: w.alarm} }

// result is what ends the wait of a waiter.
type result struct {
	reply   wire.Reply
	err     error
	timeout bool // the time is up
}

// wakeAll sends a result to a list of waiters.
func wakeAll(w *waiter, r result) {
	for w != nil {
		next := w.next
		w.next = nil
		w.wake <- r
		w = next
	}
}
