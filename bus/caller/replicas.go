package caller

import (
	"context"
	"crypto/sha1" //nolint:gosec // it compares texts; the worker's script has no other digest
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// AllReplicas as Config.MinReplicas stands for all replicas that are connected to the master,
// and at least one.
const AllReplicas = -1

// retryConfirm is the time before a confirmation is tried again at another server.
const retryConfirm = 50 * time.Millisecond

// replication waits, before a caller gets a reply, until the server that holds the outcome
// and enough of its replicas have stored it. It refuses requests while too few replicas are
// connected. Each master has a part of its own: one without replicas
// delays only its own services.
type replication struct {
	conn    *bus.Conn
	min     int             // replicas, or AllReplicas; 0: none are required
	maxWait time.Duration   // for the replicas
	every   time.Duration   // the time between two looks at the replicas
	ctx     context.Context //nolint:containedctx // that of the client, which starts the masters later

	mu      sync.Mutex
	masters map[bus.Redis]*master
	done    sync.WaitGroup
}

// confirmation is the wait of one caller.
type confirmation struct {
	service, id string
	request     *wire.Request     // for its fingerprint; that of a watcher has no action
	holds       func(record) bool // whether the record is the one that the caller knows
	until       time.Time         // of further tries
	done        chan error        // capacity 1
}

func newReplication(ctx context.Context, conn *bus.Conn, cfg *Config) *replication {
	return &replication{
		conn: conn, min: cfg.MinReplicas, maxWait: cfg.ReplicaWait, every: cfg.Ping, ctx: ctx, masters: make(map[bus.Redis]*master),
	}
}

// admit returns ErrTooFewReplicas while fewer replicas than required are connected to the
// master of a service.
func (r *replication) admit(ctx context.Context, service string) error {
	if r.min == 0 {
		return nil
	}
	s, err := r.masterOf(ctx, service)
	if err != nil {
		return &notSentError{Cause: err}
	}
	return s.admit(ctx)
}

// masterOf returns the master that holds a service, and starts its part if it is new.
func (r *replication) masterOf(ctx context.Context, service string) (*master, error) {
	server, err := r.conn.Master(ctx, r.conn.Keys.Requests(service))
	if err != nil {
		return nil, fmt.Errorf("find the master of %s: %w", service, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return nil, ErrClosed
	}
	s := r.masters[server]
	if s == nil {
		s = newMaster(r, server)
		r.masters[server] = s
		r.done.Go(func() { s.run(r.ctx) })
	}
	s.used = time.Now()
	return s, nil
}

// close waits for the ends of the masters, after the end of the context.
func (r *replication) close() {
	r.mu.Lock()   // masterOf starts no more
	r.mu.Unlock() //nolint:staticcheck // see above
	r.done.Wait()
}

// forget removes a master that no service has used for a while: it may have left the cluster.
func (r *replication) forget(s *master) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(s.used) < unusedMaster {
		return false
	}
	delete(r.masters, s.server)
	return true
}

// confirm waits until the server that has the record of a request, and enough of its
// replicas, hold it. It returns at once if no replicas are required.
func (r *replication) confirm(ctx context.Context, service string, request *wire.Request, holds func(record) bool) error {
	if r.min == 0 {
		return nil
	}
	c := &confirmation{
		service: service, id: request.ID, request: request, holds: holds, until: time.Now().Add(r.maxWait), done: make(chan error, 1),
	}
	r.route(c)
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ctx.Done():
		return ErrClosed
	}
}

// route passes a confirmation to the master of its service.
func (r *replication) route(c *confirmation) {
	s, err := r.masterOf(r.ctx, c.service)
	if err != nil {
		c.done <- ErrNotReplicated
		return
	}
	s.batches.Add(c)
}

// again tries a confirmation again, while it has time: another server may have the record.
func (r *replication) again(c *confirmation) {
	if time.Now().After(c.until) || r.ctx.Err() != nil {
		c.done <- ErrNotReplicated
		return
	}
	time.AfterFunc(retryConfirm, func() { r.route(c) })
}

// accepted is the condition that a record exists.
func accepted(found record) bool { return found.state != "" && !found.other }

// ended is the condition that a request ended with an envelope; empty: without an outcome.
func ended(state, envelope string) func(record) bool {
	return func(found record) bool {
		if found.other || found.state != state {
			return false
		}
		if state != wire.StateDone {
			return true
		}
		_, kept, _ := strings.Cut(found.outcome, " ")
		if kept == envelope {
			return true
		}
		sum := sha1.Sum([]byte(envelope)) //nolint:gosec // see the import
		return found.body && strings.Contains(kept, `"sha1":"`+hex.EncodeToString(sum[:])+`"`)
	}
}

// Confirm waits until Config.MinReplicas replicas of the server that has the record hold it.
// It returns ErrNotReplicated if the server has another one: a failover has lost it. It
// returns at once for a request that has not ended. Errors: ErrNotReplicated, ErrClosed, or
// the context's.
func (c *Client) Confirm(ctx context.Context, service, id string, known Record) error {
	if !known.Ended() {
		return nil
	}
	return c.replication.confirm(ctx, service, &wire.Request{ID: id, Store: 1}, ended(known.State, known.Outcome))
}
