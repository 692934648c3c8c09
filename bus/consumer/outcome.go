package consumer

import (
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// Outcome is how a run ended: Done, Expired, Dead, Cancelled, Retry, Release or NotBegun. The zero value is Retry.
type Outcome struct {
	kind     outcomeKind
	meta     wire.ReplyMeta
	envelope []byte
	keep     time.Duration
	reason   string
}

// Ended describes how a delivery ended.
type Ended struct {
	// State is wire.StateDone, StateExpired, StateDead or StateCancelled.
	State string
	// Status is the HTTP status of the answer; 0: there is none.
	Status int
	// Took is the time of the run; 0: the request was not run.
	Took time.Duration
	// Envelope is the answer; not to be changed.
	Envelope []byte
}

// settles reports whether the outcome ends the request.
func (o *Outcome) settles() bool {
	return o.kind != kindRetry && o.kind != kindRelease && o.kind != kindNotBegun
}

// state returns the state of the request after an outcome that settles it.
func (o *Outcome) state() string {
	switch o.kind {
	case kindExpired:
		return wire.StateExpired
	case kindDead:
		return wire.StateDead
	case kindCancelled:
		return wire.StateCancelled
	default:
		return wire.StateDone
	}
}

type outcomeKind uint8

const (
	kindRetry outcomeKind = iota
	kindDone
	kindExpired
	kindDead
	kindRelease
	kindNotBegun
	kindCancelled
)

// Done is an outcome that answers the request with an envelope, of a success or of a
// failure. The outcome of an unsafe request is stored for the time keep; 0 means for the
// time that its request asks for. If the outcome says that nothing has happened, a short
// time lets a later call with the same ID run the request again.
func Done(meta wire.ReplyMeta, envelope []byte, keep time.Duration) Outcome {
	return Outcome{kind: kindDone, meta: meta, envelope: envelope, keep: keep}
}

// NoEffectStore is how long the outcome of a request without any effect is kept: shorter than
// the Retry-After of its caller, long enough to replace a lost reply.
const NoEffectStore = 900 * time.Millisecond

// Expired is the outcome of a request whose deadline passed before its handler was called.
func Expired() Outcome { return Outcome{kind: kindExpired} }

// Dead is the outcome of a request that can never have another one: it becomes a dead
// letter, with the reason.
func Dead(reason string) Outcome { return Outcome{kind: kindDead, reason: reason} }

// Cancelled is the outcome of a run that ended because its caller cancelled the request.
func Cancelled() Outcome { return Outcome{kind: kindCancelled} }

// Retry means that the run has no outcome: the request is delivered again after the idle
// limit.
func Retry() Outcome { return Outcome{} }

// Release means that the run has no outcome and has ended, with the process that ran it or
// because that gave up: any worker may take the request at once. The delivery counts, and the
// request is suspected to have ended its process.
func Release() Outcome { return Outcome{kind: kindRelease} }

// NotBegun means that no handler has begun the request: any worker may take it at once, and
// the delivery does not count.
func NotBegun() Outcome { return Outcome{kind: kindNotBegun} }
