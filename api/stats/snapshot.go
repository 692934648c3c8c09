package stats

import (
	"maps"
	"slices"
	"time"
)

// Window is the time of which rates and durations are shown.
const Window = time.Minute

// Interval is the time between two snapshots of a gateway.
const Interval = 5 * time.Second

// The points of a sparkline: 15 minutes.
const (
	PointInterval = 15 * time.Second
	Points        = 60
)

// Snapshot is the recent statistics of one gateway, or of several.
type Snapshot struct {
	// Gateway is the identifier of the gateway; empty: the snapshot is that of several.
	Gateway string `json:"gateway"`
	// Host is the name of the machine.
	Host string `json:"host"`
	// Started is when the gateway started, At when the snapshot was made.
	Started time.Time `json:"started"`
	At      time.Time `json:"at"`
	// Services are those that had requests in the last 15 minutes, by name.
	Services map[string]*Service `json:"services"`
}

// Service is the recent statistics of one service.
type Service struct {
	// Points are the requests of each 15 s, the latest last.
	Points []Point `json:"points"`
	// Actions are those that had requests in the last minute, by name.
	Actions map[string]*Action `json:"actions"`
}

// Point counts the requests of 15 s.
type Point struct {
	Requests uint64 `json:"n"`
	Errors   uint64 `json:"e,omitempty"`
}

// Action is the statistics of an action, or of a step of a composition, in the last
// minute.
type Action struct {
	// Requests were answered, Errors of them with a status of 500 or more.
	Requests uint64 `json:"n"`
	Errors   uint64 `json:"e,omitempty"`
	// Queue, Run and Total are the times of the requests; those from a cache have only
	// Total.
	Queue Histogram `json:"queue,omitempty"`
	Run   Histogram `json:"run,omitempty"`
	Total Histogram `json:"total,omitempty"`
	// Cache counts the answers of a cached action by source.
	Cache map[string]uint64 `json:"cache,omitempty"`
	// Steps are those of a composition, by name.
	Steps map[string]*Action `json:"steps,omitempty"`
}

func newAction() *Action {
	return &Action{Queue: make(Histogram), Run: make(Histogram), Total: make(Histogram), Cache: make(map[string]uint64), Steps: make(map[string]*Action)}
}

// Rate returns the requests per second.
func (a *Action) Rate() float64 { return float64(a.Requests) / Window.Seconds() }

// ErrorRatio returns the share of the requests that failed, 0 to 1.
func (a *Action) ErrorRatio() float64 {
	if a.Requests == 0 {
		return 0
	}
	return float64(a.Errors) / float64(a.Requests)
}

// Troubles lists what is wrong with a service, in words: backlog, errors, slow, dead
// letters. oldest is the age of its oldest request, dead the number of its dead letters.
func (a *Action) Troubles(oldest time.Duration, dead int64) []string {
	var found []string
	if oldest > 10*time.Second {
		found = append(found, "backlog")
	}
	if a.ErrorRatio() > 0.01 {
		found = append(found, "errors")
	}
	if a.Run.Quantile(0.99) > time.Second || a.Queue.Quantile(0.99) > time.Second {
		found = append(found, "slow")
	}
	if dead > 0 {
		found = append(found, "dead letters")
	}
	return found
}

// Hits returns the share of the answers that came from a cache, and the share that shared
// the run of another request, 0 to 1.
func (a *Action) Hits() (hit, collapsed float64) {
	var all uint64
	for _, n := range a.Cache {
		all += n
	}
	if all == 0 {
		return 0, 0
	}
	stored := a.Cache["near"] + a.Cache["shared"] + a.Cache["revalidating"] + a.Cache["stale"]
	return float64(stored) / float64(all), float64(a.Cache["joined"]) / float64(all)
}

// add adds the statistics of another action.
func (a *Action) add(other *Action) {
	if other == nil {
		return
	}
	a.Requests += other.Requests
	a.Errors += other.Errors
	a.Queue.add(other.Queue)
	a.Run.add(other.Run)
	a.Total.add(other.Total)
	for kind, n := range other.Cache {
		a.Cache[kind] += n
	}
	for name, step := range other.Steps {
		if a.Steps[name] == nil {
			a.Steps[name] = newAction()
		}
		a.Steps[name].add(step)
	}
}

// All returns the statistics of all actions together, without their steps.
func (s *Service) All() *Action {
	all := newAction()
	if s == nil {
		return all
	}
	for _, a := range s.Actions {
		own := *a
		own.Steps = nil
		all.add(&own)
	}
	return all
}

// Merge returns the statistics of several gateways together.
func Merge(snapshots []*Snapshot) *Snapshot {
	merged := &Snapshot{Services: make(map[string]*Service)}
	for _, one := range snapshots {
		if one.At.After(merged.At) {
			merged.At = one.At
		}
		for name, service := range one.Services {
			into := merged.Services[name]
			if into == nil {
				into = &Service{Points: make([]Point, Points), Actions: make(map[string]*Action)}
				merged.Services[name] = into
			}
			if service != nil {
				into.add(service)
			}
		}
	}
	return merged
}

// add adds the statistics of another gateway. The latest points belong together.
func (s *Service) add(other *Service) {
	points := other.Points[max(0, len(other.Points)-Points):]
	for i, p := range slices.Backward(points) {
		at := &s.Points[Points-len(points)+i]
		at.Requests += p.Requests
		at.Errors += p.Errors
	}
	for _, name := range slices.Sorted(maps.Keys(other.Actions)) {
		if s.Actions[name] == nil {
			s.Actions[name] = newAction()
		}
		s.Actions[name].add(other.Actions[name])
	}
}
