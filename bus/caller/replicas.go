package caller

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/batch"
)

// ErrNotReplicated says that fewer replicas than asked for have confirmed an
// answer: a failover now could lose it. It is an ErrTimeout: what will become
// of the request is not known.
var ErrNotReplicated = errors.Join(ErrTimeout, errors.New("too few replicas have the outcome"))

// replication makes sure, before a caller gets an answer, that so many replicas
// hold what led to it (WAIT). One look serves all who wait for one.
type replication struct {
	conn    *bus.Conn
	least   int
	most    time.Duration // that replicas may take
	batches *batch.Batcher[confirmation]
	closed  <-chan struct{}
}

// confirmation is wanted by one caller.
type confirmation struct {
	service string
	done    chan error // capacity 1
}

func newReplication(ctx context.Context, conn *bus.Conn, least int, most time.Duration) *replication {
	r := &replication{conn: conn, least: least, most: most, closed: ctx.Done()}
	r.batches = batch.New[confirmation](writeBatch)
	return r
}

func (r *replication) run(ctx context.Context) { r.batches.Run(ctx, r.flush) }

// confirm waits until all that Redis did for a service before now is on enough
// replicas. With none asked for it returns at once.
func (r *replication) confirm(ctx context.Context, service string) error {
	if r.least == 0 {
		return nil
	}
	c := confirmation{service: service, done: make(chan error, 1)}
	r.batches.Add(c)
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-r.closed:
		return ErrClosed
	}
}

// flush asks once for each master that holds one of the services.
func (r *replication) flush(batch []confirmation) {
	ctx, cancel := context.WithTimeout(context.Background(), r.most+r.conn.Timeout())
	defer cancel()
	told := make(map[*redis.Client]error)
	for _, c := range batch {
		master, err := r.conn.Master(ctx, r.conn.Keys.Requests(c.service))
		if err == nil {
			known := false
			if err, known = told[master]; !known {
				err = r.ask(ctx, master)
				told[master] = err
			}
		}
		if err != nil {
			err = ErrNotReplicated
		}
		c.done <- err
	}
}

// Confirm waits until all that Redis did for a service before now, such as
// storing an outcome, is on as many replicas as the client was told to want.
// Errors: ErrNotReplicated, ErrClosed, or the context's.
func (c *Client) Confirm(ctx context.Context, service string) error {
	return c.copies.confirm(ctx, service)
}

// ask waits for the replicas of a master. WAIT goes by what its own connection
// has done, and any command counts for that: a PING before it stands for all
// that others have written by then.
func (r *replication) ask(ctx context.Context, master *redis.Client) error {
	pipe := master.Pipeline()
	pipe.Ping(ctx)
	confirmed := pipe.Do(ctx, "wait", r.least, r.most.Milliseconds())
	_, _ = pipe.Exec(ctx) // each command has its own error
	n, err := confirmed.Int64()
	if err == nil && int(n) >= r.least {
		return nil
	}
	r.conn.Log().Warn("too few replicas confirm what was written; its callers are told that the outcome is not known",
		"wanted", r.least, "confirmed", n, "error", err)
	return ErrNotReplicated
}
