package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/resp"
)

// worker is what the parts of a running consumer share: names, connection, settings, and
// the refusal that ends all of them.
type worker struct {
	conn    *bus.Conn
	cfg     *Config
	log     *slog.Logger // names the service and the worker
	service string
	id      string
	mailbox string
	slots   *slots
	steady  *steadiness
	end     func() // stops fetching and ends the contexts of handlers

	sending sync.Mutex // held while a read is sent

	mu      sync.Mutex
	refused error // the first refusal
}

func newWorker(c *Consumer, end func()) *worker {
	service := c.cfg.Manifest.Service
	return &worker{
		conn: c.conn, cfg: &c.cfg, log: c.conn.Log().With("service", service, "worker", c.id),
		service: service, id: c.id, slots: c.slots, steady: newSteadiness(c.cfg.IdleLimit), mailbox: c.conn.Keys.Requests(service), end: end,
	}
}

// isRefused reports whether Redis refuses the worker with this error. The worker ends
// then: it cannot settle what it runs, and repeating the command would not help.
func (w *worker) isRefused(err error) bool {
	if !rediserr.IsRefused(err) {
		return false
	}
	w.mu.Lock()
	if w.refused == nil {
		w.refused = fmt.Errorf("worker %s: %w", w.id, err)
	}
	w.mu.Unlock()
	w.end()
	return true
}

// refusal returns the error with which Redis refused the worker, or nil.
func (w *worker) refusal() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}

// join creates the consumer group if it does not exist, from entry 0: requests that were
// sent before the first worker started are read too. It tries until Redis answers.
func (w *worker) join(ctx context.Context) {
	waits := backoff.New(100*time.Millisecond, 2*time.Second)
	for {
		err := w.conn.Redis().XGroupCreateMkStream(ctx, w.mailbox, wire.Group, "0").Err()
		if err == nil || rediserr.IsBusyGroup(err) {
			err = w.checkReplies(ctx)
		}
		if err == nil {
			err = w.checkScripts(ctx)
		}
		if err == nil || ctx.Err() != nil || w.isRefused(err) {
			return
		}
		wait := waits.Next()
		w.log.WarnContext(ctx, "cannot open the mailbox, retrying",
			"redis", w.conn.Address(), "error", err, "retry_in", wait)
		_ = backoff.Pause(ctx, wait) // the loop checks the context
	}
}

// checkReplies checks that the worker has the right to publish replies before it takes a
// request. It publishes on a channel like those of callers that has no subscriber.
func (w *worker) checkReplies(ctx context.Context) error {
	return w.conn.Redis().Publish(ctx, w.conn.Keys.Replies(w.id, w.service), "").Err()
}

// checkScripts calls the scripts that keep and claim requests, for none. Redis then has them,
// also when its memory is full later, or the worker learns that it lacks the right to load them.
func (w *worker) checkScripts(ctx context.Context) error {
	_, err := w.conn.Scripts.Keep.Run(ctx, w.conn.Redis(), []string{w.mailbox}, w.id)
	if err == nil {
		_, err = w.conn.Scripts.Trial.Run(ctx, w.conn.Redis(), []string{w.mailbox}, w.id, "end", "")
	}
	return err
}

// retire removes one consumer from the group, or with "" all, if it has been idle for so
// long and has no pending entries.
func (w *worker) retire(ctx context.Context, consumer string, idle time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, w.conn.Timeout())
	defer cancel()
	_, err := w.conn.Scripts.Retire.Run(ctx, w.conn.Redis(), []string{w.mailbox}, idle.Milliseconds(), consumer)
	if err != nil && !rediserr.IsNoGroup(err) && !w.isRefused(err) {
		w.log.WarnContext(ctx, "cannot remove idle consumers", "error", err)
	}
}

// logDeleted logs that an entry is gone that should be there.
func (w *worker) logDeleted(ctx context.Context, entry string) {
	w.log.ErrorContext(ctx, "a pending entry was deleted from the mailbox, its request is lost", "entry", entry)
}

// explainRead explains an error that Redis answered a read with. On a cluster the mailbox
// may have moved: the next read looks for it again.
func (w *worker) explainRead(ctx context.Context, p *resp.Pipeline, err error, answer string, command ...any) error {
	if err == nil {
		return nil
	}
	if strings.HasPrefix(answer, "-MOVED ") {
		p.ReloadCluster(ctx)
	}
	return w.conn.Explain(err, command...)
}
