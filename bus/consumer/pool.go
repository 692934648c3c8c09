package consumer

import "sync"

// pool runs deliveries on goroutines that it reuses: their stacks have already grown to
// the size that handlers need.
//
// Each goroutine wakes the next one while deliveries are queued: a few goroutines run
// most of many short requests, and a long one does not delay the next.
type pool struct {
	run func(*Delivery)

	mu     sync.Mutex
	wakeup sync.Cond
	queue  []*Delivery
	next   int  // index in the queue
	idle   int  // how many of them wait
	waking bool // one was woken and has not looked at the queue yet
	closed bool

	goroutines sync.WaitGroup // also those of the reader
}

// newPool returns a pool. The slots of the worker limit how many deliveries are queued and
// running together, and with them the number of goroutines.
func newPool(run func(*Delivery)) *pool {
	p := &pool{run: run}
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

// wake wakes or starts one goroutine, unless one is about to look at the queue. Its
// caller holds the lock.
func (p *pool) wake() {
	switch {
	case p.waking:
	case p.idle > 0:
		p.waking = true
		p.wakeup.Signal()
	default:
		p.waking = true
		p.goroutines.Go(p.work)
	}
}

func (p *pool) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
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

// unlocked runs a delivery without holding the lock. It locks again in any case: a
// handler may end its goroutine (runtime.Goexit).
func (p *pool) unlocked(d *Delivery) {
	p.mu.Unlock()
	defer p.mu.Lock()
	p.run(d)
}

// close ends the goroutines when nothing is queued or running any more, and then closes
// the channel.
func (p *pool) close() <-chan struct{} {
	p.mu.Lock()
	p.closed = true
	p.wakeup.Broadcast()
	p.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.goroutines.Wait()
	}()
	return ended
}
