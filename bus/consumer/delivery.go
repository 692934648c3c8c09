package consumer

import (
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// Delivery is a request that was delivered to a worker.
type Delivery struct {
	Request wire.Request
	// Entry is the ID of its stream entry.
	Entry string
	// Attempt counts the deliveries, from 1.
	Attempt int
	// Queued is the time from the request's acceptance to this delivery.
	Queued time.Duration
	// AfterSettled is called once Redis has taken the outcome of this delivery. Run may set
	// it. It must not block. Defaults to nil: no call.
	AfterSettled func()

	run     *run
	traced  *traced   // nil: it has not run, or no spans are made
	owner   *requests // those of its worker; nil in tests of handlers
	invalid error     // why the entry is not a valid request
	fresh   bool      // no worker has begun it before
	trial   *trial    // nil: it is no suspect
	owned   time.Time // its worker owns it for the idle limit from then on
}

// newDelivery reads the fields of an entry: name, value, name, value.
func newDelivery(entry string, fields []string) *Delivery {
	d := &Delivery{Entry: entry}
	d.Request, d.invalid = wire.ParseRequest(fields)
	return d
}

// Extend keeps a running request with this worker until the given time from now, if that
// is later than its deadline. The deadline itself does not change.
func (d *Delivery) Extend(by time.Duration) {
	if d.owner != nil {
		d.owner.extend(d.Entry, by)
	}
}

// invalidOrLate reports that a worker ends the delivery without running it.
func (d *Delivery) invalidOrLate(w *worker) bool {
	return d.invalid != nil || d.Attempt > w.cfg.MaxAttempts || d.Request.Expired(w.conn.Clock.Millis())
}

// acceptedAt returns the Redis time in ms at which the request was accepted. A request
// may have waited in its lane before it had an entry.
func (d *Delivery) acceptedAt() int64 {
	if d.Request.Accepted != 0 {
		return d.Request.Accepted
	}
	return wire.EntryTime(d.Entry)
}
