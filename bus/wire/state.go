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
	// StateCancelling is that of a running request whose handler has been told to stop.
	StateCancelling = "cancelling"
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
	// Progress is the last that the handler reported; empty: none.
	Progress json.RawMessage `json:"progress,omitempty"`
	// Outcome is the envelope of the reply; empty unless State is StateDone.
	Outcome json.RawMessage `json:"outcome,omitempty"`
}

// JSON returns the state as JSON, without an outcome or progress that is no JSON.
func (s *RequestState) JSON() []byte {
	text, err := json.Marshal(s)
	if err != nil {
		plain := *s
		plain.Outcome, plain.Progress = nil, nil
		text, _ = json.Marshal(&plain) // strings can always be encoded
	}
	return text
}

// Envelope returns the state as the envelope of an answer.
func (s *RequestState) Envelope() []byte { return Success(s.JSON()) }

// StepStore is how long the outcome of a composition's step is kept. Within this time
// after its first call a composition can be continued without repeating a step.
const StepStore = 7 * 24 * time.Hour

// EndedStepStore is how long it is still kept after the composition has ended, for operators.
const EndedStepStore = 10 * time.Minute
