package host

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"github.com/oskadev/mailroom/workers"
)

// service is one registered service, and the connections that share its requests.
type service struct {
	name    string
	stop    context.CancelFunc
	started chan struct{} // closed when worker is set
	ended   chan struct{} // closed when the worker has ended and err is set
	worker  *workers.Worker
	err     error

	mu       sync.Mutex
	sessions []*session
	last     int           // counts the runs
	capacity int           // of all sessions
	changed  chan struct{} // closed when a slot is free or the service closes; nil: no run waits
	closed   bool
}

func newService(name string, stop context.CancelFunc) *service {
	return &service{name: name, stop: stop, started: make(chan struct{}), ended: make(chan struct{})}
}

// onStart takes the worker of the service.
func (v *service) onStart(w *workers.Worker) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.worker = w
	w.Resize(v.capacity)
	close(v.started)
}

func (v *service) end(err error) {
	v.err = err
	close(v.ended)
}

// add adds a connection, which gets runs once it is open; false: the service has ended.
func (v *service) add(s *session) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return false
	}
	v.sessions = append(v.sessions, s)
	v.resize(s.capacity)
	return true
}

// open lets a connection have runs.
func (v *service) open(s *session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.free = s.capacity
	v.wake()
}

// remove removes a connection: it gets no more runs.
func (v *service) remove(s *session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := slices.Index(v.sessions, s)
	if i < 0 {
		return
	}
	v.sessions = slices.Delete(v.sessions, i, i+1)
	v.resize(-s.capacity)
}

// resize fits the number of requests that are read to the connections. Its caller holds
// the lock.
func (v *service) resize(by int) {
	v.capacity += by
	if v.worker != nil {
		v.worker.Resize(v.capacity)
	}
	v.wake()
}

// wake wakes the runs that wait for a slot. Its caller holds the lock.
func (v *service) wake() {
	if v.changed != nil {
		close(v.changed)
		v.changed = nil
	}
}

// closeIfIdle ends the service if it has no connection, and reports whether it has ended.
func (v *service) closeIfIdle() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.sessions) > 0 {
		return false
	}
	v.closed = true
	v.wake()
	v.stop()
	return true
}

// errDraining means that a connection takes no more runs.
var errDraining = errors.New("the worker takes no more runs")

var errNoConnection = errors.New("no process serves the request")

// handle runs one request on the connection that has the most free slots. It waits for a
// slot where a connection has ended meanwhile.
func (v *service) handle(ctx context.Context, args []json.RawMessage) (any, error) {
	for {
		s, changed := v.take()
		if s != nil {
			result, err := s.run(ctx, args)
			if errors.Is(err, errDraining) {
				continue
			}
			return result, err
		}
		if changed == nil {
			return nil, workers.NotBegun(errNoConnection)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, workers.NotBegun(context.Cause(ctx))
		}
	}
}

// take takes a slot. Without a free one, it returns a channel that is closed when that may
// have changed; without both, the service has ended.
func (v *service) take() (*session, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var best *session
	v.last++
	for i := range v.sessions { // among equals, another one each time
		s := v.sessions[(v.last+i)%len(v.sessions)]
		if s.free > 0 && (best == nil || s.free > best.free) {
			best = s
		}
	}
	switch {
	case best != nil:
		best.free--
		return best, nil
	case v.closed:
		return nil, nil
	case v.changed == nil:
		v.changed = make(chan struct{})
	}
	return nil, v.changed
}

// give gives a slot back.
func (v *service) give(s *session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.free++
	v.wake()
}
