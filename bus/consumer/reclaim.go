package consumer

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/resp"
)

// pendingPage is how many pending entries one command lists.
const pendingPage = 100

// reclaimer takes pending requests: those of workers that are dead, and its own whose
// delivery was lost.
type reclaimer struct {
	w        *worker
	requests *requests
	pool     *pool
	suspects *suspects
	pipeline *resp.Pipeline // of the reader
}

// reclaim takes requests that have been idle for the idle limit: their workers are dead,
// frozen or disconnected, or gave no outcome. It takes as many as there are free slots, and
// lists the suspects. Those of other workers have to wait while the worker is not steady.
func (r *reclaimer) reclaim(ctx, working context.Context, free int) error {
	start, steady, listed := "-", true, []string(nil)
	defer func() { r.suspects.list(listed, steady) }()
	for len(listed) < maxSuspects {
		idle, err := r.w.conn.Redis().XPendingExt(ctx, &redis.XPendingExtArgs{
			Stream: r.w.mailbox, Group: wire.Group, Idle: r.w.cfg.IdleLimit, Start: start, End: "+", Count: pendingPage,
		}).Result()
		if err != nil || len(idle) == 0 {
			return err
		}
		if now := r.w.steady.steady(); start == "-" { // the answer may be late
			steady = now
		} else if now != steady {
			listed = nil
			return nil
		}
		start = wire.NextEntryID(idle[len(idle)-1].ID)
		// A request that hangs here, and is not kept any more, is for other workers.
		more := len(idle) == pendingPage
		others := slices.DeleteFunc(idle, func(p redis.XPendingExt) bool {
			return r.requests.isRunning(p.ID) || !steady && p.Consumer != givenBack && p.Consumer != r.w.id
		})
		others = slices.DeleteFunc(others, func(p redis.XPendingExt) bool {
			suspect := p.Consumer != givenBack && p.RetryCount > 0
			if suspect {
				listed = append(listed, p.ID)
			}
			return suspect
		})
		others = others[:min(len(others), free)]
		taken, err := r.claim(ctx, working, others)
		if err != nil {
			return err
		}
		free -= taken
		if !more {
			break
		}
	}
	return nil
}

// claim takes idle entries (XCLAIM) and returns how many. Of several workers that claim
// an entry, only the first one gets it: it is not idle any more then.
func (r *reclaimer) claim(ctx, working context.Context, idle []redis.XPendingExt) (int, error) {
	if len(idle) == 0 {
		return 0, nil
	}
	deliveries := make(map[string]int64, len(idle))
	command := []string{"xclaim", r.w.mailbox, wire.Group, r.w.id, strconv.FormatInt(r.w.cfg.IdleLimit.Milliseconds(), 10)}
	for _, p := range idle {
		deliveries[p.ID] = p.RetryCount
		command = append(command, p.ID)
	}
	asked := time.Now()
	batch, err := r.fetchEntries(ctx, command...)
	if err != nil {
		return 0, err
	}
	for _, d := range batch {
		d.Attempt, d.owned = int(deliveries[d.Entry])+1, asked
		d.fresh = d.Attempt == 1 // its worker gave it back before it began
		delete(deliveries, d.Entry)
		r.w.log.With(d.LogIDs()).InfoContext(ctx, "took over a request", "attempt", d.Attempt)
	}
	r.requests.start(working, batch)
	r.pool.add(batch)
	return len(batch), r.dropDeleted(ctx, deliveries)
}

// dropDeleted acknowledges pending entries that were deleted by hand. Redis does so
// itself when they are claimed, other servers keep them. Their requests are lost. Most
// entries that could not be claimed belong to another worker by now, or were settled.
func (r *reclaimer) dropDeleted(ctx context.Context, unclaimed map[string]int64) error {
	for entry := range unclaimed {
		pipe := r.w.conn.Redis().Pipeline()
		found := pipe.XRange(ctx, r.w.mailbox, entry, entry)
		pending := pipe.XPendingExt(ctx, &redis.XPendingExtArgs{
			Stream: r.w.mailbox, Group: wire.Group, Start: entry, End: entry, Count: 1,
		})
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		if len(found.Val()) == 0 && len(pending.Val()) > 0 {
			r.w.logDeleted(ctx, entry)
			if err := r.w.conn.Redis().XAck(ctx, r.w.mailbox, wire.Group, entry).Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// recoverOwn starts requests that a read gave to this worker although its answer was
// lost: entries that are pending for the worker, not running and not abandoned. It also
// forgets abandoned entries that are not pending for the worker any more.
func (r *reclaimer) recoverOwn(ctx, working context.Context, free int) error {
	gone := r.requests.allAbandoned()
	start := "-"
	for {
		asked := time.Now()
		pending, err := r.w.conn.Redis().XPendingExt(ctx, &redis.XPendingExtArgs{
			Stream: r.w.mailbox, Group: wire.Group, Start: start, End: "+", Count: pendingPage, Consumer: r.w.id,
		}).Result()
		if err != nil {
			return err
		}
		for _, p := range pending {
			start = wire.NextEntryID(p.ID)
			switch {
			case r.requests.isRunning(p.ID):
			case p.RetryCount > 1: // a claim: reclaiming takes it when it is idle
			case r.requests.isAbandoned(p.ID): // reclaiming takes it when it is idle
				delete(gone, p.ID)
			case free == 0:
				return errMoreOwn
			default:
				if err := r.fetchOwn(ctx, working, p, asked.Add(-p.Idle)); err != nil {
					return err
				}
				free--
			}
		}
		if len(pending) < pendingPage {
			r.requests.forget(gone)
			return nil
		}
	}
}

// errMoreOwn means that there are more entries to recover than free slots.
var errMoreOwn = errors.New("more entries to recover")

// fetchOwn starts an entry that was delivered at that time and has not begun.
func (r *reclaimer) fetchOwn(ctx, working context.Context, p redis.XPendingExt, delivered time.Time) error {
	batch, err := r.fetchEntries(ctx, "xrange", r.w.mailbox, p.ID, p.ID)
	for _, d := range batch {
		d.Attempt, d.fresh, d.owned = 1, true, delivered
	}
	r.requests.start(working, batch)
	r.pool.add(batch)
	return err
}

// fetchEntries sends a command that answers with entries of the mailbox (XRANGE, XCLAIM).
func (r *reclaimer) fetchEntries(ctx context.Context, command ...string) (batch []*Delivery, err error) {
	opening, cancel := context.WithTimeout(ctx, r.w.conn.Timeout())
	defer cancel()
	conn, err := r.pipeline.Conn(opening, r.w.mailbox)
	if err != nil {
		return nil, err
	}
	answer, err := conn.Do(r.w.conn.Timeout(), func(out *resp.Commands) { out.Add(command...) })
	if err != nil {
		return nil, err
	}
	err = resp.Entries(answer, func(e resp.Entry) { batch = append(batch, newDelivery(e.ID, e.Fields)) })
	return batch, r.w.explainRead(ctx, r.pipeline, err, answer, command[0], r.w.mailbox)
}
