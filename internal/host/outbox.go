package host

import (
	"sync"

	"github.com/oskadev/mailroom/internal/frames"
)

// maxUnsent is how many bytes may wait for a worker that does not read, beside one frame.
const maxUnsent = 64 << 20

// maxIdleBuffer is the largest buffer that is kept for later frames.
const maxIdleBuffer = 1 << 20

// outbox sends the frames of a connection. Frames that are added while others are sent go
// together in one write.
type outbox struct {
	conn Conn

	mu     sync.Mutex
	waits  sync.Cond
	frames []byte
	closed bool
}

func newOutbox(conn Conn) *outbox {
	o := &outbox{conn: conn}
	o.waits.L = &o.mu
	return o
}

// add adds one frame. It reports false when the worker does not read what it is sent.
func (o *outbox) add(frame func(dst []byte) []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true
	}
	if len(o.frames) > maxUnsent {
		return false
	}
	o.frames = append(frame(o.frames), '\n')
	o.waits.Signal()
	return true
}

// run sends frames until the outbox is closed and empty, or sending fails.
func (o *outbox) run() error {
	var sending []byte
	for {
		o.mu.Lock()
		for len(o.frames) == 0 && !o.closed {
			o.waits.Wait()
		}
		if len(o.frames) == 0 {
			o.mu.Unlock()
			return nil
		}
		sending, o.frames = o.frames, sending[:0]
		o.mu.Unlock()
		if err := o.conn.Send(sending); err != nil {
			o.close()
			return err
		}
		if cap(sending) > maxIdleBuffer {
			sending = nil
		}
	}
}

// close lets run end once it has sent what was added.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.waits.Signal()
}

// bye adds the last frame.
func (o *outbox) bye(reason *frames.Bye) {
	if reason != nil {
		o.add(reason.Append)
	}
	o.close()
}
