package caller

import (
	"context"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/batch"
)

// replication waits, before a caller gets a reply, until enough replicas hold the
// outcome (WAIT). Callers that wait at the same time share one command.
type replication struct {
	conn    *bus.Conn
	min     int           // replicas
	maxWait time.Duration // for the replicas
	batches *batch.Batcher[confirmation]
	closed  <-chan struct{}
}

// confirmation is the wait of one caller.
type confirmation struct {
	service string
	done    chan error // capacity 1
}

func newReplication(ctx context.Context, conn *bus.Conn, minReplicas int, maxWait time.Duration) *replication {
	return &replication{
		conn: conn, min: minReplicas, maxWait: maxWait, closed: ctx.Done(),
		batches: batch.New[confirmation](writeBatch),
	}
}

func (r *replication) run(ctx context.Context) { r.batches.Run(ctx, r.flush) }

// confirm waits until enough replicas hold all earlier writes of a service. It returns
// at once if no replicas are required.
func (r *replication) confirm(ctx context.Context, service string) error {
	if r.min == 0 {
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

// flush waits once for each master that holds one of the services.
func (r *replication) flush(batch []confirmation) {
	ctx, cancel := context.WithTimeout(context.Background(), r.maxWait+r.conn.Timeout())
	defer cancel()
	outcomes := make(map[bus.Redis]error)
	for _, c := range batch {
		master, err := r.conn.Master(ctx, r.conn.Keys.Requests(c.service))
		if err == nil {
			known := false
			if err, known = outcomes[master]; !known {
				err = r.wait(ctx, master)
				outcomes[master] = err
			}
		}
		if err != nil {
			err = ErrNotReplicated
		}
		c.done <- err
	}
}

// Confirm waits until Config.MinReplicas replicas hold all earlier writes of a service,
// such as an outcome. Errors: ErrNotReplicated, ErrClosed, or the context's.
func (c *Client) Confirm(ctx context.Context, service string) error {
	return c.replication.confirm(ctx, service)
}

// wait waits for the replicas of a master. WAIT covers what its own connection has
// done, and any command counts: a PING before it stands for all earlier writes of other
// connections.
func (r *replication) wait(ctx context.Context, master bus.Redis) error {
	pipe := master.Pipeline()
	pipe.Ping(ctx)
	confirmed := pipe.Do(ctx, "wait", r.min, r.maxWait.Milliseconds())
	_, _ = pipe.Exec(ctx) // each command has its own error
	n, err := confirmed.Int64()
	if err == nil && int(n) >= r.min {
		return nil
	}
	r.conn.Log().Warn("too few replicas confirmed an outcome, callers get a timeout",
		"wanted", r.min, "confirmed", n, "error", err)
	return ErrNotReplicated
}
