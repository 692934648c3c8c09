package edge

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/internal/share"
)

// quietPeriod is the idle time after which a stopping gateway closes a connection. One
// in use ends with its next answer; after a second of silence a request is unlikely to
// be on its way.
const quietPeriod = time.Second

// connections holds the open connections, so that a stopping gateway closes only idle
// ones. The HTTP library would also close one on which an unread request has arrived.
type connections struct {
	normal, spare *share.Shares[netip.Addr] // by client

	mu   sync.Mutex
	open map[*connection]struct{}
}

// add adds a connection, as a spare one above the limit of normal ones.
func (t *connections) add(c *connection) share.Taken {
	taken := t.normal.Take(c.client)
	if taken == share.NoneLeft {
		if t.spare.Take(c.client) != share.Granted {
			return share.NoneLeft
		}
		taken, c.spareUntil = share.Granted, time.Now().Add(spareTime)
	}
	if taken == share.Granted {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.open[c] = struct{}{}
	}
	return taken
}

// changed records a change of state that the HTTP library reports.
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
	case fasthttp.StateHijacked:
		c.taken.Store(t)
	case fasthttp.StateClosed:
		t.remove(c)
	case fasthttp.StateNew:
	}
}

func (t *connections) remove(c *connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, found := t.open[c]; !found {
		return
	}
	delete(t.open, c)
	if c.spareUntil.IsZero() {
		t.normal.Give(c.client)
	} else {
		t.spare.Give(c.client)
	}
}

// closeIdle closes the connections that have been idle since a time and have no unread
// bytes. It returns the number of connections that are still open.
func (t *connections) closeIdle(since time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := func(c *connection) bool {
		began := c.idle.Load()
		return began != 0 && began <= since.UnixNano()
	}
	for c := range t.open {
		// In this order: a request that was read in between has ended the idle time.
		if idle(c) && !unread(c.socket) && idle(c) {
			_ = c.Close() // its reader ends, and reports it as closed
		}
	}
	return len(t.open)
}

// drain closes idle connections until none is open or the context ends. A request in
// flight is answered, with Connection: close.
func (t *connections) drain(ctx context.Context) {
	began := time.Now()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		idleSince := time.Now().Add(-quietPeriod)
		if idleSince.Before(began) {
			idleSince = time.Time{} // closes none, but all may have ended
		}
		if t.closeIdle(idleSince) == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
