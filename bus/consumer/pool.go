package consumer

import "sync"

// pool runs deliveries on goroutines that stay: their stacks have grown to
// what handlers need, which a new goroutine would have to do again each time.
//
// It wakes goroutines one after another, each by the one before, and only
// while something is queued: of many short requests a few goroutines run most,
// while a long one never keeps the next from starting.
type pool struct {
	run func(*Delivery)
	max int

	mu     sync.Mutex
	wakeup sync.Cond
	queue  []*Delivery
	next   int  // of the queue
	size   int  // goroutines
	idle   int  // of them waiting
	waking bool // one has been woken and has not looked yet
	closed bool
	ended  sync.WaitGroup
}

// newPool prepares a pool of at most so many goroutines. No more than that may
// be queued and running together, which the consumer's slots see to.
func newPool(most int, run func(*Delivery)) *pool {
	p := &pool{run: run, max: most}
	p.wakeup.L = &p.mu
	return p
}

// add queues deliveries.
func (p *pool) add(batch []*Delivery) {
	if len(batch) == 0 {
		return
	}
	p.mu.Lock()
	p.queue = append(p.queue, batch...)
	p.wake()
	p.mu.Unlock()
}

// wake gets one more goroutine to look at the queue, unless one is about to.
// Its caller holds the lock.
func (p *pool) wake() {
	switch {
	case p.waking:
	case p.idle > 0:
		p.waking = true
		p.wakeup.Signal()
	case p.size < p.max:
		p.size++
		p.waking = true
		p.ended.Go(p.work)
	}
}

func (p *pool) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.size-- }()
	p.waking = false
	for {
		for p.next == len(p.queue) {
			p.queue, p.next = p.queue[:0], 0
			if p.closed {
				return
			}
			p.idle++
			p.wakeup.Wait()
			p.idle--
			p.waking = false
		}
		d := p.queue[p.next]
		p.queue[p.next] = nil
		p.next++
		if p.next < len(p.queue) {
			p.wake()
		}
		p.unlocked(d)
	}
}

// unlocked runs a delivery without the lock, and takes it again however that
// ends: a handler may end its goroutine (runtime.Goexit).
func (p *pool) unlocked(d *Delivery) {
	p.mu.Unlock()
	defer p.mu.Lock()
	p.run(d)
}

// close ends the goroutines once nothing is queued or running, which the
// channel tells.
func (p *pool) close() <-chan struct{} {
	p.mu.Lock()
	p.closed = true
	p.wakeup.Broadcast()
	p.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.ended.Wait()
	}()
	return ended
}
