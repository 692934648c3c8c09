package caller

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// sweepEvery is how often the sweep looks whether somebody has waited long.
const sweepEvery = 250 * time.Millisecond

// sweep finds the answers that pub/sub lost: of those who have waited long, and
// of everybody once the subscription has been renewed.
func (c *Client) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for all := false; ; {
		select {
		case <-ticker.C:
		case <-c.replies.sweep:
			all = true
		case <-ctx.Done():
			return
		}
		all = !c.sweepOnce(ctx, time.Now(), all)
	}
}

// sweepOnce looks for the answers that are due, or for all. It reports false
// where Redis did not tell: then everybody is to be looked at again, since their
// own turns may come long after.
func (c *Client) sweepOnce(ctx context.Context, now time.Time, all bool) bool {
	for due := c.waiters.overdue(now, all); len(due) > 0; {
		n := min(len(due), writeBatch)
		if c.lookFor(ctx, due[:n]) != nil {
			return false
		}
		due = due[n:]
	}
	return true
}

// lookFor asks Redis what became of requests, in one pipeline. An unsafe one
// has its record; a safe one is asked again once its entry has left the
// mailbox, and its answer has had until the next look to come.
func (c *Client) lookFor(ctx context.Context, due []lookup) error {
	ctx, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	pipe := c.conn.Redis().Pipeline()
	looks := make([]redis.Cmder, len(due))
	for i, d := range due {
		switch mailbox := c.conn.Keys.Requests(d.service); {
		case !d.request.Safe():
			looks[i] = pipe.HMGet(ctx, c.conn.Keys.Record(d.service, d.request.ID), recordFields()...)
		case d.entry != "":
			looks[i] = pipe.XRange(ctx, mailbox, d.entry, d.entry)
		}
	}
	_, err := pipe.Exec(ctx)
	if rediserr.IsServer(err) {
		err = nil
	}
	for i := range due { // each by its own answer: of a cluster one part may be away
		if looks[i] != nil || err == nil {
			c.resolve(&due[i], looks[i])
		}
	}
	return err
}

func (c *Client) resolve(d *lookup, look redis.Cmder) {
	switch found := look.(type) {
	case *redis.SliceCmd:
		if found.Err() != nil {
			return
		}
		c.resolveUnsafe(d, newRecord(found.Val(), d.request))
	case *redis.XMessageSliceCmd:
		// Who may not look at a mailbox asks again in any case: it may run twice.
		gone := found.Err() == nil && len(found.Val()) == 0 || rediserr.IsRefused(found.Err())
		if gone && c.waiters.goneBefore(d.id, d.request) {
			c.resend(d)
		}
	default: // whether Redis has it was never known
		if c.waiters.goneBefore(d.id, d.request) {
			c.resend(d)
		}
	}
}

// resolveUnsafe goes by the record of an unsafe request.
func (c *Client) resolveUnsafe(d *lookup, found record) {
	reply, err := found.answer()
	switch {
	case d.watching:
		if found.state == "" || found.ended() {
			c.waiters.end(d.id, d.request, result{})
		}
	case found.state == "", found.state == wire.StateExpired && !d.request.Expired(c.conn.Clock.Millis()):
		c.resend(d)
	case !errors.Is(err, errUnfinished):
		c.waiters.end(d.id, d.request, result{reply: reply, err: err})
	case d.sending:
		c.waiters.end(d.id, d.request, result{})
	}
}

// resend sends a request again under its ID.
func (c *Client) resend(d *lookup) {
	c.conn.Log().Debug("asking again", "service", d.service, "request", d.request.ID)
	c.writer.add(outgoing{service: d.service, id: d.id, request: d.request, again: true})
}
