package wire

import (
	"encoding/json"
	"time"
)

// States of a request that keeps its outcome. StateRunning is derived: the
// entry is pending for some worker.
const (
	StateQueued    = "queued"
	StateRunning   = "running"
	StateDone      = "done"
	StateExpired   = "expired"
	StateDead      = "dead"
	StateCancelled = "cancelled"
)

// Location returns the path at which a gateway serves the state of a request.
func Location(service, id string) string { return "/requests/" + service + "." + id }

// RequestState is the state of a request as callers see it: the result of
// GET /requests/<service>.<id>.
type RequestState struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	Action  string `json:"action"`
	State   string `json:"state"`
	// Outcome is the envelope of the reply; empty unless State is StateDone.
	Outcome json.RawMessage `json:"outcome,omitempty"`
}

// Envelope returns the state as the envelope of an answer.
func (s *RequestState) Envelope() []byte {
	result, err := json.Marshal(s)
	if err != nil { // the outcome is no JSON
		return Failure(NewError(CodeInternal, "internal error"))
	}
	return Success(result)
}

// StepStore is how long the outcome of a composition's step is kept. Within this time
// after its first call a composition can be continued without repeating a step.
const StepStore = 7 * 24 * time.Hour
