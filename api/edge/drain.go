package edge

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// quietPeriod is how long a connection has to lie idle, once the gateway has been
// told to stop, before it is closed: one that is in use ends by itself with its
// next answer, and the less it is used the less likely is a request on its way.
const quietPeriod = time.Second

// connections are those that clients have open, so that a gateway that stops
// can tell which lie idle. The HTTP library closes what it believes to be idle
// although a request has arrived on it that nobody has read yet.
type connections struct {
	mu   sync.Mutex
	open map[*connection]struct{}
}

// changed is told by the HTTP library.
func (t *connections) changed(conn net.Conn, state fasthttp.ConnState) {
	c, ok := conn.(*connection)
	if !ok {
		return
	}
	switch state {
	case fasthttp.StateIdle:
		c.idle.Store(time.Now().UnixNano())
	case fasthttp.StateActive:
		c.idle.Store(0)
	case fasthttp.StateClosed, fasthttp.StateHijacked:
		t.mu.Lock()
		delete(t.open, c)
		t.mu.Unlock()
	case fasthttp.StateNew:
	}
}

// closeIdle closes the connections on which nothing has been under way since a
// time, and on which nothing has arrived that waits to be read. It returns how
// many are open still.
func (t *connections) closeIdle(since time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := func(c *connection) bool {
		began := c.idle.Load()
		return began != 0 && began <= since.UnixNano()
	}
	for c := range t.open {
		// In this order: what is read by now is no longer idle.
		if idle(c) && !unread(c.socket) && idle(c) {
			_ = c.Close() // its reader notices, and has it taken off the list
		}
	}
	return len(t.open)
}

// drain closes connections that lie idle, until there are none or the context
// ends. Who is in the middle of a request is answered, and told by that answer
// that the connection ends.
func (t *connections) drain(ctx context.Context) {
	began := time.Now()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		idleSince := time.Now().Add(-quietPeriod)
		if idleSince.Before(began) {
			idleSince = time.Time{} // none is closed yet, but all may have gone
		}
		if t.closeIdle(idleSince) == 0 {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}
