package metrics

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits of the number of label values. The names of services and actions come from
// manifests, which this process does not control.
const (
	maxServices = 500 // with series of their own
	maxActions  = 200 // of one service, with series of their own
)

// Other is the label value that names over a limit share.
const Other = "other"

// Actions finds the series of an action by its names. It is safe for concurrent use, and
// takes no lock once an action is known.
type Actions[T any] struct {
	make   func(service, action string) T
	known  atomic.Pointer[map[string]map[string]T]
	adding sync.Mutex
}

// NewActions returns Actions whose series are made by newSeries, once for each pair of
// label values.
func NewActions[T any](newSeries func(service, action string) T) *Actions[T] {
	a := &Actions[T]{make: newSeries}
	a.known.Store(&map[string]map[string]T{})
	return a
}

// Of returns the series of an action.
func (a *Actions[T]) Of(service, action string) T {
	if series, found := (*a.known.Load())[service][action]; found {
		return series
	}
	return a.add(service, action)
}

// add returns the series of an action that is new, or beyond a limit.
func (a *Actions[T]) add(service, action string) T {
	a.adding.Lock()
	defer a.adding.Unlock()
	known := *a.known.Load()
	own, found := known[service]
	if !found && len(known) >= maxServices {
		service, action = Other, Other
		own = known[service]
	}
	if _, found := own[action]; !found && len(own) >= maxActions {
		action = Other
	}
	if series, found := own[action]; found {
		return series
	}
	series := a.make(service, action)
	own = maps.Clone(own)
	if own == nil {
		own = make(map[string]T)
	}
	own[action] = series
	known = maps.Clone(known)
	known[service] = own
	a.known.Store(&known)
	return series
}

// Codes counts by HTTP status. It is safe for concurrent use.
type Codes struct {
	vec      *prometheus.CounterVec // whose last label is the code
	labels   []string               // the values of the others
	counters [500]atomic.Pointer[prometheus.Counter]
}

// NewCodes returns the counters of vec with these values of its labels before the last.
func NewCodes(vec *prometheus.CounterVec, labels ...string) *Codes {
	return &Codes{vec: vec, labels: labels}
}

// Inc counts a status. One outside 100 to 599 counts as 500.
func (c *Codes) Inc(status int) {
	if status < 100 || status > 599 {
		status = 500
	}
	slot := &c.counters[status-100]
	counter := slot.Load()
	if counter == nil {
		made := c.vec.WithLabelValues(append(slices.Clip(c.labels), strconv.Itoa(status))...)
		counter = &made
		slot.Store(counter)
	}
	(*counter).Inc()
}
