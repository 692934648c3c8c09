package exchange

import (
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// Outcome is how a request was answered, for metrics, logs and the recent requests.
type Outcome struct {
	// Status is the HTTP status.
	Status int
	// Refused is the code of an error that the gateway itself answered with; empty: the
	// answer is that of a service, of a composition or of the cache.
	Refused wire.Code
	// Expired reports that the deadline passed before a worker began the request.
	Expired bool
	// Ran reports that the request ran for this caller alone. Queue, Run, Worker and
	// Attempt belong to its run.
	Ran bool
	// Queue is the time between enqueueing and running.
	Queue time.Duration
	// Run is the time that the handler took.
	Run time.Duration
	// Worker is the identifier of the worker that answered.
	Worker string
	// Attempt counts the deliveries of the request, from 1; 0: not known.
	Attempt int
	// Cache is where a cached or shared answer came from, such as "near"; empty: the
	// action does not share its answers.
	Cache string
	// Total is the time from the arrival of the request to its answer.
	Total time.Duration
}

// SetRun records the meta of the run that answered the request.
func (o *Outcome) SetRun(m *wire.ReplyMeta) {
	o.Ran, o.Queue, o.Run, o.Worker, o.Attempt = true, m.Queue, m.Run, m.Worker, m.Attempt
}
