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

// Location is the path under which a gateway tells what became of a request.
func Location(service, id string) string { return "/requests/" + service + "." + id }

// RequestState is what callers are told of a request: the result of
// GET /requests/<service>.<id>.
type RequestState struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	Action  string `json:"action"`
	State   string `json:"state"`
	// Outcome is the envelope of the answer; empty unless the state is StateDone.
	Outcome json.RawMessage `json:"outcome,omitempty"`
}

// StepStore is how long the outcome of a composition's step is kept. That long after
// its first call a composition can be continued, and repeats nothing.
const StepStore = 7 * 24 * time.Hour
