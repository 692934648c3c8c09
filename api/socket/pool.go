package socket

import "sync/atomic"

// maxIdle is the maximum number of goroutines that wait for a request.
const maxIdle = 1024

// pool runs requests on goroutines that it reuses: their stacks have already grown to the
// size that a request needs.
type pool struct {
	jobs   chan func()
	closed chan struct{}
	idle   atomic.Int64
}

func newPool() *pool { return &pool{jobs: make(chan func()), closed: make(chan struct{})} }

// run runs a function on an idle goroutine, or on a new one.
func (p *pool) run(job func()) {
	select {
	case p.jobs <- job:
	default:
		go p.work(job)
	}
}

func (p *pool) work(job func()) {
	for {
		job()
		if p.idle.Add(1) > maxIdle {
			p.idle.Add(-1)
			return
		}
		select {
		case job = <-p.jobs:
			p.idle.Add(-1)
		case <-p.closed:
			return
		}
	}
}

// close ends the idle goroutines.
func (p *pool) close() { close(p.closed) }
