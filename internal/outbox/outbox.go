// Package outbox sends the frames of a connection in batches: frames that are added while
// others are sent go together in one write. It has a goroutine only while it sends.
package outbox

import (
	"runtime"
	"sync"
)

// maxIdleBuffer is the largest buffer that is kept for later frames, in bytes.
const maxIdleBuffer = 64 << 10

// Outbox holds the frames that wait to be sent. Make one with New.
type Outbox struct {
	send   func(lines []byte) error
	failed func(error)
	max    int

	mu      sync.Mutex
	sent    sync.Cond // sending became false
	lines   []byte
	spare   []byte
	sending bool
	closed  bool
}

// New returns an outbox. It calls send with one or more frames, each ended by a line break,
// on one goroutine at a time, and failed once after send has failed. max is how many bytes
// may wait, beside one frame.
func New(max int, send func(lines []byte) error, failed func(error)) *Outbox {
	o := &Outbox{send: send, failed: failed, max: max}
	o.sent.L = &o.mu
	return o
}

// Add adds one frame, which frame appends. It reports false when too much waits already:
// the peer does not read. After Close it does nothing.
func (o *Outbox) Add(frame func(dst []byte) []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true
	}
	if len(o.lines) > o.max {
		return false
	}
	o.append(frame)
	return true
}

func (o *Outbox) append(frame func(dst []byte) []byte) {
	o.lines = append(frame(o.lines), '\n')
	if !o.sending {
		o.sending = true
		go o.run()
	}
}

// Close takes no more frames. The last frame, nil for none, follows those that wait; with
// drop it replaces them.
func (o *Outbox) Close(last func(dst []byte) []byte, drop bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.closed = true
	if drop {
		o.lines = o.lines[:0]
	}
	if last != nil {
		o.append(last)
	}
}

// Wait waits until everything is sent, or sending has failed.
func (o *Outbox) Wait() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.sending {
		o.sent.Wait()
	}
}

// run sends until nothing waits.
func (o *Outbox) run() {
	var err error
	runtime.Gosched() // goroutines that are about to add frames do so first
	o.mu.Lock()
	for len(o.lines) > 0 && err == nil {
		sending := o.lines
		o.lines, o.spare = o.spare[:0], nil
		o.mu.Unlock()
		err = o.send(sending)
		o.mu.Lock()
		if cap(sending) <= maxIdleBuffer {
			o.spare = sending
		}
	}
	if err != nil {
		o.closed, o.lines = true, nil
	}
	o.sending = false
	o.sent.Broadcast()
	o.mu.Unlock()
	if err != nil {
		o.failed(err)
	}
}
